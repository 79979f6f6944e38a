// What a suite reports beside right and wrong; see harness/base/measure.h.
#pragma once

#include <optional>
#include <vector>

#include "harness/base/measure.h"
#include "results/intervals.h"
#include "results/outcome.h"

namespace assay {

struct Measured {
  Measure measure;
  int64_t samples = 0;  // that have the value
  double value = 0;
  double question_se = 0;  // of new questions; for a ratio by linearization (Cochran 1977, 6.4)
  std::optional<Interval> interval;   // 95 %, where the method has one
  std::optional<double> sampling_se;  // of new samples; of means over groups only
  // Of a rating: the share of people that it is above, where they are known. Without a bound, when
  // all or none of the questions are solved, it is that of the hardest or the easiest one.
  std::optional<double> percentile;
  bool unbounded = false;
};

// `questions`: the outcomes of each question.
Measured measured(const Measure& measure, const std::vector<std::vector<SampleOutcome>>& questions);

}  // namespace assay
