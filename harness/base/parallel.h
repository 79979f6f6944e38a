// Loops that oneTBB spreads over the cores.
#pragma once

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace assay {

// oneTBB orders what it runs inside its own library, which ThreadSanitizer does not see: it is told
// that what a thread did before `done_at` comes before what another does after `seen_at` of the
// same address.
#if defined(__SANITIZE_THREAD__)
inline void done_at(const void* at) { __tsan_release(const_cast<void*>(at)); }
inline void seen_at(const void* at) { __tsan_acquire(const_cast<void*>(at)); }
#else
inline void done_at(const void*) {}
inline void seen_at(const void*) {}
#endif

// Calls body(begin, end), on any thread, for ranges that together are [0, count); returns when all
// have been done. What a body throws reaches the caller.
template <typename Body>
void parallel_ranges(int64_t count, const Body& body) {
  const char begun = 0, ended = 0;
  done_at(&begun);
  tbb::parallel_for(tbb::blocked_range<int64_t>(0, count),
                    [&](const tbb::blocked_range<int64_t>& range) {
                      seen_at(&begun);
                      body(range.begin(), range.end());
                      done_at(&ended);
                    });
  seen_at(&ended);
}

// The same with body(i) for each i of [0, count).
template <typename Body>
void parallel_for(int64_t count, const Body& body) {
  parallel_ranges(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace assay
