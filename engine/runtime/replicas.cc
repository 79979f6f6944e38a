#include "engine/runtime/replicas.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace assay {
namespace {

// More requests than this ahead of another replica wait for it.
constexpr int kAhead = 4;

// The queue that the replicas share.
struct Queue {
  Queue(RequestSource& s, CompletionSink& k, size_t replicas)
      : source(s), sink(k), in_flight(replicas, 0), running(replicas) {}

  RequestSource& source;
  CompletionSink& sink;
  std::mutex mutex;
  std::vector<int> in_flight;  // of each replica; its own when it has ended: none is compared to it
  size_t running;
  std::condition_variable ended;
  std::atomic<bool> halt{false};
  Status status;
};

class SharedSource : public RequestSource {
 public:
  SharedSource(Queue& queue, size_t own) : queue_(queue), own_(own) {}

  std::optional<Request> next() override {
    const std::scoped_lock lock(queue_.mutex);
    int& own = queue_.in_flight[own_];
    const int least = *std::min_element(queue_.in_flight.begin(), queue_.in_flight.end());
    // "None" only puts it off: with some under way it is asked again after the next step.
    if (own > 0 && own >= least + kAhead) return std::nullopt;
    std::optional<Request> request = queue_.source.next();
    if (request) ++own;
    return request;
  }

  // With enough under way elsewhere the source may have more.
  bool ended() override {
    const std::scoped_lock lock(queue_.mutex);
    return queue_.source.ended();
  }
  void wait() override { queue_.source.wait(); }

 private:
  Queue& queue_;
  size_t own_;
};

class SharedSink : public CompletionSink {
 public:
  SharedSink(Queue& queue, size_t own) : queue_(queue), own_(own) {}

  Status accept(Completion completion) override {
    const std::scoped_lock lock(queue_.mutex);
    --queue_.in_flight[own_];
    return queue_.sink.accept(std::move(completion));
  }

 private:
  Queue& queue_;
  size_t own_;
};

}  // namespace

Status run_replicas(const std::vector<ReplicaRun>& replicas, RequestSource& source,
                    CompletionSink& sink, const std::atomic<bool>& stop) {
  Queue queue(source, sink, replicas.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < replicas.size(); ++i) {
    threads.emplace_back([&, i] {
      SharedSource own_source(queue, i);
      SharedSink own_sink(queue, i);
      Status status = replicas[i](own_source, own_sink, queue.halt);
      const std::scoped_lock lock(queue.mutex);
      if (!status.ok() && queue.status.ok()) {
        queue.status = std::move(status);
        queue.halt = true;
      }
      queue.in_flight[i] = 1 << 30;  // nobody waits for it
      --queue.running;
      queue.ended.notify_one();
    });
  }
  {
    std::unique_lock lock(queue.mutex);
    while (queue.running > 0) {
      queue.ended.wait_for(lock, std::chrono::milliseconds(20));
      if (stop) queue.halt = true;
    }
  }
  for (std::thread& thread : threads) thread.join();
  return std::move(queue.status);
}

}  // namespace assay
