#include "results/paired.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "harness/base/philox.h"

namespace assay {
namespace {

constexpr int kPermutations = 10'000;

bool correct(const SampleOutcome& sample) { return sample.correctness == Correctness::kCorrect; }

// Two-sided p-value of Σ d under random signs; exact for few questions that differ.
double sign_flip_p(const std::vector<double>& differences, uint64_t seed) {
  std::vector<double> moved;
  for (const double d : differences) {
    if (d != 0) moved.push_back(d);
  }
  if (moved.empty()) return 1;
  const double sum = std::fabs(std::accumulate(moved.begin(), moved.end(), 0.0));
  const double seen = sum - 1e-9 * (1 + sum);  // equal sums differ by rounding
  double as_far = 0;
  if (moved.size() <= 13) {
    const unsigned all = 1u << moved.size();
    for (unsigned signs = 0; signs < all; ++signs) {
      double flipped = 0;
      for (size_t i = 0; i < moved.size(); ++i) flipped += (signs >> i & 1) ? moved[i] : -moved[i];
      as_far += std::fabs(flipped) >= seen ? 1 : 0;
    }
    return as_far / all;
  }
  const PhiloxKey key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (uint32_t round = 0; round < kPermutations; ++round) {
    double flipped = 0;
    for (size_t i = 0; i < moved.size(); i += 128) {
      const PhiloxCounter bits = philox4x32_10({static_cast<uint32_t>(i), round, 0, 1}, key);
      for (size_t j = i; j < std::min(moved.size(), i + 128); ++j) {
        flipped += (bits[(j - i) / 32] >> (j % 32) & 1) != 0 ? moved[j] : -moved[j];
      }
    }
    as_far += std::fabs(flipped) >= seen ? 1 : 0;
  }
  return (as_far + 1) / (kPermutations + 1);
}

// The error of the difference that verdicts go by.
double guarded_se(const PairedSuite& suite) {
  const double se = suite.sampling_se.value_or(suite.question_se);
  const double flip = 1 / static_cast<double>(std::max<int64_t>(1, suite.pairs));
  return std::sqrt(se * se + flip * flip);
}

CompareVerdict verdict_of(const PairedSuite& suite, const CompareOptions& options) {
  const double lower = suite.difference - normal_quantile(1 - options.alpha) * guarded_se(suite);
  const bool within = suite.pairs > 0 && lower > -options.margin;
  const bool lost = suite.difference < 0 && suite.adjusted_p < options.alpha;
  if (lost) return within ? CompareVerdict::kSmallLoss : CompareVerdict::kLoss;
  return within ? CompareVerdict::kNoLoss : CompareVerdict::kUndecided;
}

}  // namespace

PairedSuite compare_suites(const SuiteOutcomes& base, const SuiteOutcomes& other,
                           const CompareOptions& options) {
  PairedSuite out;
  out.suite = base.plan.suite;
  std::map<std::string, size_t> others;
  for (size_t i = 0; i < other.item_ids.size(); ++i) others[other.item_ids[i]] = i;
  int64_t samples = 0;
  for (const auto& question : base.questions) samples += static_cast<int64_t>(question.size());
  for (const auto& question : other.questions) samples += static_cast<int64_t>(question.size());
  std::vector<double> differences;
  double base_sum = 0, other_sum = 0, sampling_variance = 0;
  bool several = true;
  for (size_t i = 0; i < base.questions.size(); ++i) {
    const auto found = others.find(base.item_ids[i]);
    if (found == others.end()) continue;
    std::map<int, const SampleOutcome*> partners;
    for (const SampleOutcome& sample : other.questions[found->second]) {
      partners[sample.sample_index] = &sample;
    }
    double n = 0, sum = 0, squares = 0, base_right = 0, other_right = 0;
    for (const SampleOutcome& sample : base.questions[i]) {
      const auto partner = partners.find(sample.sample_index);
      if (partner == partners.end() || sample.correctness == Correctness::kUnscored ||
          partner->second->correctness == Correctness::kUnscored) {
        continue;
      }
      const bool before = correct(sample), after = correct(*partner->second);
      const double d = (after ? 1.0 : 0.0) - (before ? 1.0 : 0.0);
      out.right_to_wrong += before && !after ? 1 : 0;
      out.wrong_to_right += !before && after ? 1 : 0;
      base_right += before ? 1 : 0;
      other_right += after ? 1 : 0;
      sum += d;
      squares += d * d;
      n += 1;
    }
    if (n == 0) continue;
    out.pairs += static_cast<int64_t>(n);
    differences.push_back(sum / n);
    base_sum += base_right / n;
    other_sum += other_right / n;
    several = several && n > 1;
    if (n > 1) sampling_variance += (squares - sum * sum / n) / (n - 1) / n;
  }
  out.unpaired = samples - 2 * out.pairs;
  out.questions = static_cast<int>(differences.size());
  if (differences.empty()) return out;
  const double q = static_cast<double>(differences.size());
  out.base = base_sum / q;
  out.other = other_sum / q;
  out.difference = std::accumulate(differences.begin(), differences.end(), 0.0) / q;
  if (several) out.sampling_se = std::sqrt(std::max(0.0, sampling_variance)) / q;
  if (q > 1) {
    double squares = 0;
    for (const double d : differences) squares += (d - out.difference) * (d - out.difference);
    out.question_se = std::sqrt(squares / (q - 1) / q);
  }
  const double half = normal_quantile(0.975) * guarded_se(out);
  out.interval_95 = {std::max(-1.0, out.difference - half), std::min(1.0, out.difference + half)};
  out.mcnemar_p = sign_test_p(out.right_to_wrong, out.right_to_wrong + out.wrong_to_right);
  out.permutation_p = sign_flip_p(differences, options.seed);
  const double wanted = (normal_quantile(1 - options.alpha) + normal_quantile(options.power)) *
                        guarded_se(out) / options.margin;
  const double n = static_cast<double>(out.pairs) / q;
  out.samples_to_decide = static_cast<int64_t>(std::ceil(n * wanted * wanted));
  return out;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const double scaled = p[order[rank]] * static_cast<double>(p.size() - rank);
    largest = std::max(largest, std::min(1.0, scaled));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

void decide(std::vector<PairedSuite*> suites, const CompareOptions& options) {
  std::vector<double> p;
  for (const PairedSuite* suite : suites) p.push_back(suite->mcnemar_p);
  const std::vector<double> adjusted = holm(p);
  for (size_t i = 0; i < suites.size(); ++i) {
    suites[i]->adjusted_p = adjusted[i];
    suites[i]->verdict = verdict_of(*suites[i], options);
  }
}

}  // namespace assay
