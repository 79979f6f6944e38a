#include "results/sequential.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/base/philox.h"
#include "results/intervals.h"

namespace assay {
namespace {

constexpr double kMultiples[] = {1, 2, 5}, kWeights[] = {0.7, 0.15, 0.15};
constexpr double kLargestBet = 0.9;
// What is taken to have been seen before the first pair: so many of this variance.
constexpr double kPriorPairs = 20, kPriorVariance = 0.1;

// log Σ weight · exp(log)
double mixture_log(const std::array<double, 3>& logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (size_t i = 0; i < logs.size(); ++i) sum += kWeights[i] * std::exp(logs[i] - largest);
  return largest + std::log(sum);
}

}  // namespace

std::optional<QuestionDraws::Draw> QuestionDraws::next(double uniform) {
  const int fewest = left_.empty() ? 0 : *std::min_element(left_.begin(), left_.end());
  if (fewest <= 0) return {};
  const int64_t all = std::accumulate(left_.begin(), left_.end(), int64_t{0});
  int64_t rest = static_cast<int64_t>(uniform * static_cast<double>(all));
  size_t question = 0;
  while (question + 1 < left_.size() && rest >= left_[question]) rest -= left_[question++];
  const double mean = static_cast<double>(all) / static_cast<double>(left_.size());
  const int left = left_[question]--;
  return Draw{question, left, mean / left, mean / fewest};
}

double SequentialTest::variance() const {
  return (squares_ + kPriorPairs * kPriorVariance) / (static_cast<double>(pairs_) + kPriorPairs);
}

void SequentialTest::add(double d, double largest) {
  if (verdict_ != GateVerdict::kUndecided) return;
  const double seen = variance();
  for (size_t i = 0; i < alarm_logs_.size(); ++i) {
    const double drop = std::min(1.0, kMultiples[i] * options_.max_drop);
    // The bet that grows fastest for a mean of `drop` and this variance.
    const double bet = std::min(kLargestBet / largest, drop / (seen + drop * drop));
    alarm_logs_[i] += std::log1p(-bet * d);
    pass_logs_[i] += std::log1p(bet * (d + options_.max_drop));
  }
  ++pairs_;
  sum_ += d;
  squares_ += d * d;
  if (alarm_evidence() >= 1) {
    verdict_ = GateVerdict::kRegression;
  } else if (pass_evidence() >= 1) {
    verdict_ = GateVerdict::kPass;
  }
}

double SequentialTest::mean() const { return pairs_ == 0 ? 0 : sum_ / static_cast<double>(pairs_); }

double SequentialTest::alarm_evidence() const {
  return std::exp(mixture_log(alarm_logs_)) * options_.alpha;
}

double SequentialTest::pass_evidence() const {
  return std::exp(mixture_log(pass_logs_)) * (1 - options_.power);
}

double expected_pairs(const GateOptions& options, double flips, double drop, int64_t limit,
                      uint64_t seed) {
  constexpr uint32_t kRuns = 200;
  // Worse with (flips + drop) / 2, better with (flips − drop) / 2.
  const double worse = (std::max(flips, drop) + drop) / 2, better = std::max(0.0, flips - drop) / 2;
  double pairs = 0;
  for (uint32_t run = 0; run < kRuns; ++run) {
    SequentialTest test(options);
    while (test.verdict() == GateVerdict::kUndecided && test.pairs() < limit) {
      const auto pair = static_cast<uint64_t>(test.pairs());
      const double u =
          philox_uniform({static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32), run, 2},
                         {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
      test.add(u < worse ? -1 : u < worse + better ? 1 : 0);
    }
    pairs += static_cast<double>(test.pairs());
  }
  return pairs / kRuns;
}

double fixed_pairs(const GateOptions& options, double variance) {
  const double z = normal_quantile(1 - options.alpha) + normal_quantile(options.power);
  return z * z * variance / (options.max_drop * options.max_drop);
}

}  // namespace assay
