// The one seam to the clock.
#pragma once

#include <chrono>

namespace assay {

// Seconds since some fixed moment; never runs backwards.
inline double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace assay
