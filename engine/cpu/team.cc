#include "engine/cpu/team.h"

#include <algorithm>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace assay {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// About 50 µs: longer than what lies between two sections of a step.
constexpr int kSpins = 2000;

constexpr uint64_t kOne = uint64_t{1} << 32, kEnd = kOne - 1;  // of a thread's range

}  // namespace

Team::Team(int threads)
    : left_(std::make_unique<Left[]>(static_cast<size_t>(std::max(1, threads)))) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker_loop(i); });
}

Team::~Team() {
  stop_ = true;
  ++section_;
  section_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::run(int64_t count, Function function, const void* context, bool fixed) {
  function_ = function;
  context_ = context;
  count_ = count;
  fixed_ = fixed;
  if (!fixed) {
    for (int thread = 0; thread < threads(); ++thread) {
      const int64_t first = count * thread / threads(), end = count * (thread + 1) / threads();
      left_[thread].range.store(static_cast<uint64_t>(first << 32 | end),
                                std::memory_order_relaxed);
    }
  }
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  section_.fetch_add(1);
  if (sleeping_.load() > 0) section_.notify_all();
  work(0);
  for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Team::work(int thread) noexcept {
  try {
    if (fixed_) {
      const int64_t end = count_ * (thread + 1) / threads();
      for (int64_t i = count_ * thread / threads(); i < end; ++i) function_(context_, i, thread);
      return;
    }
    std::atomic<uint64_t>& own = left_[thread].range;
    for (uint64_t seen = own.load(); seen >> 32 < (seen & kEnd); seen = own.load()) {
      if (own.compare_exchange_weak(seen, seen + kOne)) {
        function_(context_, static_cast<int64_t>(seen >> 32), thread);
      }
    }
    for (int i = 1; i < threads(); ++i) take_last_of((thread + i) % threads(), thread);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    error_ = std::current_exception();
  }
}

void Team::take_last_of(int other, int thread) {
  std::atomic<uint64_t>& range = left_[other].range;
  for (uint64_t seen = range.load(); seen >> 32 < (seen & kEnd); seen = range.load()) {
    if (range.compare_exchange_weak(seen, seen - 1)) {
      function_(context_, static_cast<int64_t>(seen & kEnd) - 1, thread);
    }
  }
}

void Team::worker_loop(int thread) {
  uint32_t seen = 0;
  for (;;) {
    for (int spins = 0; section_.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < kSpins) {
        relax();
        continue;
      }
      sleeping_.fetch_add(1);
      section_.wait(seen);
      sleeping_.fetch_sub(1);
    }
    ++seen;
    if (stop_) return;
    work(thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace assay
