// The nouns that every folder shares. Plain data; copies are cheap or shared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/philox.h"

namespace assay {

// One question of a suite.
struct Item {
  std::string suite;
  std::string id;                             // stable within the suite, unique
  std::map<std::string, std::string> fields;  // from the data set, as text
  std::string gold;
};

// How tokens are drawn, in this order: temperature, top-k, top-p, min-p.
struct SamplingParams {
  double temperature = 0.6;       // 0 is greedy
  double top_p = 0.95;            // in (0, 1]; 1 keeps everything
  int top_k = 0;                  // 0 keeps everything
  double min_p = 0;               // keeps tokens of at least min_p times the best one's probability
  int max_tokens = 32768;         // completion tokens, the stop token included
  std::vector<std::string> stop;  // only looked for after the thought has ended
};

// A prompt, shared by all samples of one question.
struct Prompt {
  std::string text;
  std::vector<int32_t> token_ids;
  bool opens_thought = false;  // ends inside <think>
};

// Identifies one sample of a run.
struct SampleId {
  std::string suite;
  std::string item_id;
  int sample_index = 0;
  auto operator<=>(const SampleId&) const = default;
};

// Looks on while a sample is made, from the engine's thread.
class SampleWatch {
 public:
  virtual ~SampleWatch() = default;
  // A token of the completion, with its untempered natural log-probability.
  virtual void on_token(int32_t token, double logprob) = 0;
  // Whether nobody wants the sample any more; it then ends early with FinishReason::kError.
  virtual bool cancelled() const = 0;
};

struct Request {
  SampleId id;
  std::shared_ptr<const Prompt> prompt;
  std::shared_ptr<const SamplingParams> sampling;
  PhiloxKey key{};  // from run seed and item; the counter is (position, sample_index)
  std::shared_ptr<SampleWatch> watch;  // null: nobody; only the in-tree engine asks
};

enum class FinishReason { kStop, kLength, kError };

struct Completion {
  SampleId id;
  std::vector<int32_t> token_ids;  // the stop token included
  std::string text;                // valid UTF-8, without the stop token
  FinishReason finish_reason = FinishReason::kError;
  int prompt_tokens = 0;
  int counted_tokens = 0;      // as a server counts them, where token_ids are not known
  int thought_tokens = 0;      // completion tokens up to and with the last </think>
  bool opens_thought = false;  // the prompt ended inside <think>
  // Completion tokens, by whoever counted them.
  int completion_tokens() const {
    return token_ids.empty() ? counted_tokens : static_cast<int>(token_ids.size());
  }
  double logprob = 0;  // sum of the tokens' natural log-probabilities, untempered
  std::string error;   // what went wrong, for kError
};

enum class Correctness { kIncorrect, kCorrect, kUnscored };

struct Verdict {
  Correctness correctness = Correctness::kUnscored;
  bool has_answer = false;
  std::string answer;  // the extracted answer as the model wrote it
  std::string rule;    // what decided, e.g. "integer", "no_box"
  std::string detail;
  std::map<std::string, double> values;  // numbers that the scorer found, for a suite's measures
};

// The unit that is stored, resumed, re-scored, compared and exported.
struct SampleRecord {
  Completion completion;
  Verdict verdict;
  std::string scorer;  // name and version, "boxed/1"
};

const char* to_string(FinishReason reason);
const char* to_string(Correctness correctness);
bool from_string(const std::string& text, FinishReason* reason);
bool from_string(const std::string& text, Correctness* correctness);

}  // namespace assay
