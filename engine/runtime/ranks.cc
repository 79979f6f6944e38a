#include "engine/runtime/ranks.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace assay {
namespace {

// Gives each rank the same answers, the n-th to its n-th question.
class Script {
 public:
  Script(RequestSource& source, size_t ranks) : source_(source), asked_(ranks, 0) {}

  std::optional<Request> answer(size_t rank) {
    const std::scoped_lock lock(mutex_);
    const size_t index = asked_[rank]++;
    if (index == first_ + answers_.size()) answers_.push_back({source_.next(), asked_.size()});
    Answer& answer = answers_[index - first_];
    std::optional<Request> request = answer.request;
    if (--answer.ranks_left == 0) {  // the ranks ask in order, so it is the oldest
      answers_.pop_front();
      ++first_;
    }
    return request;
  }

 private:
  struct Answer {
    std::optional<Request> request;
    size_t ranks_left;
  };
  std::mutex mutex_;
  RequestSource& source_;
  std::vector<size_t> asked_;
  std::deque<Answer> answers_;
  size_t first_ = 0;  // index of the oldest
};

class RankSource : public RequestSource {
 public:
  RankSource(Script& script, size_t rank) : script_(script), rank_(rank) {}
  std::optional<Request> next() override { return script_.answer(rank_); }

 private:
  Script& script_;
  size_t rank_;
};

class NoSink : public CompletionSink {
 public:
  Status accept(Completion) override { return {}; }
};

}  // namespace

Status run_ranks(const std::vector<RankRun>& ranks, RequestSource& source, CompletionSink& sink,
                 const std::atomic<bool>& stop) {
  Script script(source, ranks.size());
  NoSink nobody;
  std::mutex mutex;
  std::condition_variable ended;
  size_t running = ranks.size();
  std::atomic<bool> halt{false};
  Status first_error;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ranks.size(); ++i) {
    threads.emplace_back([&, i] {
      RankSource own_source(script, i);
      CompletionSink& own_sink = i == 0 ? sink : static_cast<CompletionSink&>(nobody);
      Status status = ranks[i].run(own_source, own_sink, halt);
      const std::scoped_lock lock(mutex);
      // When one has been halted the others' errors are that it left.
      if (!status.ok() && !halt.exchange(true)) first_error = std::move(status);
      if (halt) ranks[i].leave();
      --running;
      ended.notify_one();
    });
  }
  {
    std::unique_lock lock(mutex);
    while (running > 0) {
      ended.wait_for(lock, std::chrono::milliseconds(20));
      if (stop) halt = true;
    }
  }
  for (std::thread& thread : threads) thread.join();
  return first_error;
}

void for_each_rank(int ranks, const std::function<void(int rank)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 1; rank < ranks; ++rank) threads.emplace_back([&, rank] { body(rank); });
  body(0);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace assay
