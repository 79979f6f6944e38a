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

// The bet that grows fastest for a mean of `drop` and this variance.
double best_bet(double drop, double variance) { return drop / (variance + drop * drop); }

// log Σ weight · exp(log)
double mixture_log(const std::array<double, 3>& logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (size_t i = 0; i < logs.size(); ++i) sum += kWeights[i] * std::exp(logs[i] - largest);
  return largest + std::log(sum);
}

}  // namespace

QuestionDraws::QuestionDraws(size_t questions, int samples, double max_drop,
                             const std::vector<double>& base)
    : samples_(samples),
      max_drop_(max_drop),
      left_(questions, samples),
      drawn_(questions),
      changed_(questions),
      expected_(questions, 1.0),
      knows_base_(!base.empty()) {
  // A question that was always solved may be lost all the same.
  constexpr double kLeast = 0.01;
  double mean = 0;
  for (const double right : base) {
    mean += (right * (1 - right) + kLeast) / static_cast<double>(questions);
  }
  for (size_t q = 0; q < base.size(); ++q) {
    expected_[q] = (base[q] * (1 - base[q]) + kLeast) / mean;
  }
}

void QuestionDraws::saw(size_t question, bool changed) {
  ++drawn_[question];
  changed_[question] += changed;
  favour_.clear();
}

void QuestionDraws::set_favour() {
  // A question is taken to have had so many pairs more, changed as often as is expected.
  const double prior_pairs = knows_base_ ? 8 : 2;
  const auto questions = static_cast<double>(left_.size());
  const double share = (std::accumulate(changed_.begin(), changed_.end(), 0) + 1) /
                       (std::accumulate(drawn_.begin(), drawn_.end(), 0) + 2.0);
  std::vector<double> changes, roots;
  double mean = 0;
  for (size_t q = 0; q < left_.size(); ++q) {
    changes.push_back((changed_[q] + prior_pairs * share * expected_[q]) /
                      (drawn_[q] + prior_pairs));
    roots.push_back(std::sqrt(changes.back()));
    mean += roots.back() / questions;
  }
  // The part of the chance that is the same for all: the one with which a bet grows fastest; more
  // the less samples are left, because a favoured question that runs out ends the test.
  const double used =
      1 - *std::min_element(left_.begin(), left_.end()) / static_cast<double>(samples_);
  double fastest = 0;
  for (const double part : {1.0, 0.7, 0.5, 0.35, 0.25}) {
    const double same = part + (1 - part) * used;
    std::vector<double> favour;
    double variance = 0;
    for (size_t q = 0; q < roots.size(); ++q) {
      favour.push_back(same + (1 - same) * roots[q] / mean);
      variance += changes[q] / favour.back() / questions;
    }
    const double least = *std::min_element(favour.begin(), favour.end());
    const double bet = std::min(kLargestBet * least, best_bet(max_drop_, variance));
    const double growth = bet * max_drop_ - bet * bet * variance / 2;
    if (growth <= fastest && !favour_.empty()) continue;
    fastest = growth;
    favour_ = std::move(favour);
  }
}

std::optional<QuestionDraws::Draw> QuestionDraws::next(double uniform) {
  if (left_.empty() || *std::min_element(left_.begin(), left_.end()) <= 0) return {};
  if (favour_.empty()) set_favour();
  double all = 0, rarest = HUGE_VAL;
  for (size_t q = 0; q < left_.size(); ++q) {
    all += left_[q] * favour_[q];
    rarest = std::min(rarest, left_[q] * favour_[q]);
  }
  double rest = uniform * all;
  size_t question = 0;
  while (question + 1 < left_.size() && rest >= left_[question] * favour_[question]) {
    rest -= left_[question] * favour_[question];
    ++question;
  }
  const double mean = all / static_cast<double>(left_.size());
  const int left = left_[question]--;
  return Draw{question, left, mean / (left * favour_[question]), mean / rarest};
}

double SequentialTest::variance() const {
  return (squares_ + kPriorPairs * kPriorVariance) / (static_cast<double>(pairs_) + kPriorPairs);
}

void SequentialTest::add(double d, double largest) {
  if (verdict_ != GateVerdict::kUndecided) return;
  const double seen = variance();
  for (size_t i = 0; i < alarm_logs_.size(); ++i) {
    const double drop = std::min(1.0, kMultiples[i] * options_.max_drop);
    const double bet = std::min(kLargestBet / largest, best_bet(drop, seen));
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
