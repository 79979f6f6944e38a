// The threads that run the kernels of one device.
//
// A decode step is some two hundred short parallel sections, so their start and end must be cheap:
// workers spin for a moment between sections, and then sleep, so that an idle device costs nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace assay {

// Used by one thread at a time; that thread is one of the team.
class Team {
 public:
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs body(i), or body(i, thread) with thread in 0..threads()-1 for whoever has memory for each
  // thread, for i in 0..count-1, in any order, on all threads; returns when all have run. A
  // thread goes from neighbour to neighbour until it has no more of its own, and then takes the
  // others' last ones. What `body` throws (memory runs out) reaches the caller, once every thread
  // has stopped. `count` is below 2^32.
  template <typename Body>
  void for_each(int64_t count, const Body& body) {
    run_body(count, body, false);
  }

  // The same for the rows of a batch: a thread always gets the same ones of `count`, so that it
  // finds in its cache what it wrote there in the section before.
  template <typename Body>
  void for_each_row(int64_t count, const Body& body) {
    run_body(count, body, true);
  }

 private:
  using Function = void (*)(const void*, int64_t, int);

  template <typename Body>
  static void call(const Body& body, int64_t i, int thread) {
    if constexpr (std::is_invocable_v<const Body&, int64_t, int>) {
      body(i, thread);
    } else {
      body(i);
    }
  }

  template <typename Body>
  void run_body(int64_t count, const Body& body, bool fixed) {
    if (count <= 1 || workers_.empty()) {
      for (int64_t i = 0; i < count; ++i) call(body, i, 0);
      return;
    }
    const Function function = [](const void* context, int64_t i, int thread) {
      call(*static_cast<const Body*>(context), i, thread);
    };
    run(count, function, &body, fixed);
  }

  void run(int64_t count, Function function, const void* context, bool fixed);
  void work(int thread) noexcept;
  void take_last_of(int other, int thread);
  void worker_loop(int thread);

  // One section: written by the caller before `section_` is raised, read by workers after.
  Function function_ = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0;
  bool fixed_ = false;
  // What a thread has left, unless fixed_: first << 32 | end.
  struct alignas(64) Left {
    std::atomic<uint64_t> range{0};
  };
  std::unique_ptr<Left[]> left_;
  alignas(64) std::atomic<uint32_t> section_{0};
  alignas(64) std::atomic<int> busy_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace assay
