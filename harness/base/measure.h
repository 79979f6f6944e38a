// Numbers beside right and wrong: what a suite reports of the values that its scorer found.
#pragma once

#include <string>
#include <vector>

namespace assay {

struct Measure {
  std::string name;  // in the report
  // A key of Verdict::values. The measure is its mean over samples, or, with `per`, the sum of `of`
  // over the sum of `per`.
  std::string of, per;
  std::string unit;  // "percent" (the value times 100) or "points"
  // "mean": as above, with a standard error. "win_rate": the same with a bootstrap interval.
  // "style_controlled": the win rate at no difference of style (values "style_…"). "calibration":
  // the root mean square difference of the confidence `of` and of what is correct, in bins of 100
  // samples by confidence (Hendrycks et al. 2019, arXiv:1812.04606, as Humanity's Last Exam has
  // it). "rating": the rating that makes the questions solved and not solved likeliest, when one of
  // difficulty `of` is solved with probability 1 / (1 + 10^((difficulty − rating) / 400)) (Elo
  // 1978); a question counts as solved if one of its samples is correct.
  std::string method = "mean";
  // Of a rating: a JSON file under --data, {"rating": people}, that it is placed in; may be empty.
  std::string population = {};
  // What that file says: the ratings that 0, 1, …, 1000 of 1000 people are at or below. Empty where
  // the file is not there.
  std::vector<double> permille = {};
};

}  // namespace assay
