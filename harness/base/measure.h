// Numbers beside right and wrong: what a suite reports of the values that its scorer found.
#pragma once

#include <string>

namespace assay {

struct Measure {
  std::string name;  // in the report
  // A key of Verdict::values. The measure is its mean over samples, or, with `per`, the sum of `of`
  // over the sum of `per`.
  std::string of, per;
  std::string unit;  // "percent" (the value times 100) or "points"
};

}  // namespace assay
