// The OpenAI-compatible protocol from the server's side: what a body asks for, and what is answered
// (platform.openai.com/docs/api-reference, chat completions and completions). Knows no sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "harness/base/json.h"
#include "harness/base/nouns.h"
#include "harness/base/philox.h"
#include "harness/base/result.h"

namespace assay {

struct ServeRequest {
  bool chat = false;
  std::vector<ChatMessage> messages;  // chat
  bool continues_last = false;        // the last message is the beginning of the answer
  bool enable_thinking = true;        // for templates that can suppress a thought
  // Completions: texts, or token ids.
  struct Text {
    std::string text;
    std::vector<int32_t> ids;
    bool is_ids = false;
  };
  std::vector<Text> prompts;
  int n = 1;
  SamplingParams sampling;       // max_tokens 0: as many as the context holds
  std::optional<uint64_t> seed;  // none: a seed of the server's
  // A stream of random numbers by name, beside OpenAI's protocol: "philox": {"key": [a, b],
  // "sample_index": i}. A sample is then the one that `assay run` makes.
  std::optional<PhiloxKey> key;
  int first_sample = 0;
  bool stream = false, include_usage = false, logprobs = false, echo = false;
};

// Most choices that one request may ask for, over all of its prompts.
constexpr int kMostChoices = 1024;

// An error says what is wrong with the body. What would change the answer and is not there
// (penalties, tools, response formats, other tokens' log-probabilities) is one too.
Result<ServeRequest> parse_serve_request(std::string_view body, bool chat);

// What a choice has said so far, as far as it may be shown: complete characters, and nothing that
// is or could be the beginning of a stop string. Inside a thought nothing is one, as in the engine.
class TextStream {
 public:
  TextStream(std::vector<std::string> stop, bool opens_thought)
      : stop_(std::move(stop)), opens_thought_(opens_thought) {}
  // What is new after these bytes.
  std::string add(std::string_view bytes);
  // The rest of the text, once it is known.
  std::string finish(const std::string& text);

 private:
  bool stops_apply() const;
  // Where a stop string begins, or could; at most the end.
  size_t first_held() const;

  std::vector<std::string> stop_;
  bool opens_thought_;
  std::string bytes_;
  size_t safe_bytes_ = 0;  // of those, shown
  size_t shown_ = 0;       // bytes of text, in which invalid ones were replaced
};

struct ChoiceToken {
  std::string bytes;
  double logprob = 0;
};

// One choice of an answer.
struct ServedChoice {
  int index = 0;
  std::string text;
  std::string finish_reason;  // "stop", "length"; empty: not yet
  std::vector<ChoiceToken> tokens;
};

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0;
};

// What all answers of one request have in common.
struct AnswerHead {
  bool chat = false;
  bool logprobs = false;
  std::string id, model, fingerprint;
  int64_t created = 0;  // seconds since 1970
};

OrderedJson answer_json(const AnswerHead& head, const std::vector<ServedChoice>& choices,
                        const Usage& usage);
// A piece of a stream. `first`: of its choice, which then says who speaks.
OrderedJson chunk_json(const AnswerHead& head, const ServedChoice& piece, bool first);
OrderedJson usage_chunk_json(const AnswerHead& head, const Usage& usage);
// {"error": …}
std::string error_json(const std::string& message, const std::string& type);

}  // namespace assay
