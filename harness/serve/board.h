// Where requests from connections meet the engine: its source and its sink in one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "harness/base/nouns.h"

namespace assay {

// One sample that a client waits for. Thread-safe.
class ServedSample : public SampleWatch {
 public:
  struct Token {
    int32_t id = 0;
    double logprob = 0;
  };
  // `keep_tokens`: whether the tokens are asked for one by one, with news of each. `on_news` is
  // called from the engine's thread when there is something new, also once at the end.
  ServedSample(bool keep_tokens, std::function<void()> on_news)
      : keep_tokens_(keep_tokens), on_news_(std::move(on_news)) {}

  void on_token(int32_t token, double logprob) override;
  bool cancelled() const override { return cancelled_; }

  void cancel() { cancelled_ = true; }
  void finish(Completion completion);
  // Tokens since the last call, and the completion once it is there.
  std::vector<Token> take_tokens();
  bool finished() const;
  // Only after finished().
  const Completion& completion() const { return *completion_; }

 private:
  const bool keep_tokens_;
  const std::function<void()> on_news_;
  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  std::vector<Token> tokens_;
  std::optional<Completion> completion_;
};

// Thread-safe.
class RequestBoard : public RequestSource, public CompletionSink {
 public:
  // `most_waiting`: samples that may wait for the engine.
  explicit RequestBoard(size_t most_waiting) : most_waiting_(most_waiting) {}

  struct Entry {
    Request request;  // its id and watch are set by put()
    std::shared_ptr<ServedSample> sample;
  };
  // All of them or, if they would be too many, none. After close() none.
  bool put(std::vector<Entry> entries);
  // Prompts that are the same are one object, so that they share their prefill.
  std::shared_ptr<const Prompt> shared(Prompt prompt);
  // No more come; those that wait are not begun.
  void close();
  // Whatever has not finished ends with this error; the engine is gone.
  void fail_all(const std::string& error);
  size_t waiting() const;

  std::optional<Request> next() override;
  bool ended() override;
  void wait() override;
  Status accept(Completion completion) override;

 private:
  const size_t most_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable news_;
  bool closed_ = false;
  int64_t count_ = 0;
  std::deque<Request> waiting_;
  std::map<std::string, std::shared_ptr<ServedSample>> under_way_;  // by item id
  std::map<std::pair<std::string, std::vector<int32_t>>, std::weak_ptr<const Prompt>> prompts_;
};

}  // namespace assay
