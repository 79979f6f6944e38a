// Sources and sinks for tests that call an engine directly.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/hash.h"
#include "tests/support.h"

namespace assay::testing {

class ListSource : public RequestSource {
 public:
  explicit ListSource(std::vector<Request> requests) : requests_(std::move(requests)) {}
  std::optional<Request> next() override {
    if (at_ == requests_.size()) return std::nullopt;
    return requests_[at_++];
  }

 private:
  std::vector<Request> requests_;
  size_t at_ = 0;
};

class MapSink : public CompletionSink {
 public:
  Status accept(Completion completion) override {
    completions[completion.id] = std::move(completion);
    return {};
  }
  std::map<SampleId, Completion> completions;
};

inline std::shared_ptr<const Prompt> make_prompt(const Tokenizer& tokenizer,
                                                 const std::string& text,
                                                 bool opens_thought = true) {
  auto prompt = std::make_shared<Prompt>();
  prompt->text = text;
  prompt->token_ids = tokenizer.encode(text, true);
  prompt->opens_thought = opens_thought;
  return prompt;
}

// `samples` requests for every prompt.
inline std::vector<Request> make_requests(const std::vector<std::shared_ptr<const Prompt>>& prompts,
                                          int samples, const SamplingParams& sampling,
                                          uint64_t seed = 5) {
  const auto shared = std::make_shared<const SamplingParams>(sampling);
  std::vector<Request> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (int s = 0; s < samples; ++s) {
      const std::string item = std::to_string(i);
      requests.push_back(
          {{"test", item, s}, prompts[i], shared, stream_key(seed, "test", item), nullptr});
    }
  }
  return requests;
}

inline std::map<SampleId, Completion> generate(LocalEngine& engine, std::vector<Request> requests) {
  ListSource source(std::move(requests));
  MapSink sink;
  const std::atomic<bool> stop{false};
  const Status status = engine.generate(source, sink, stop);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return std::move(sink.completions);
}

}  // namespace assay::testing
