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

}  // namespace

Team::Team(int threads) {
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
  next_.store(0, std::memory_order_relaxed);
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
    if (!fixed_) return take_parts();
    const int64_t end = count_ * (thread + 1) / threads();
    for (int64_t i = count_ * thread / threads(); i < end; ++i) function_(context_, i);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    error_ = std::current_exception();
  }
}

void Team::take_parts() {
  int64_t first = next_.load(std::memory_order_relaxed);
  while (first < count_) {
    // Early parts are large, because neighbours are near each other in memory; late ones are small,
    // so that a thread that was held up delays the others little.
    const int64_t part = std::max<int64_t>(1, (count_ - first) / (int64_t{threads()} * 2));
    if (!next_.compare_exchange_weak(first, first + part, std::memory_order_relaxed)) continue;
    for (int64_t i = first; i < first + part; ++i) function_(context_, i);
    first = next_.load(std::memory_order_relaxed);
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
