// The sampler's draws against the exact distribution that its definition gives.
#include "engine/cpu/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support.h"

namespace assay {
namespace {

constexpr int kDraws = testing::kOptimized ? 1'000'000 : 50'000;

// Temperature, then top-k, then top-p, then min-p, by sorting everything in f64.
std::vector<double> exact_distribution(const std::vector<float>& logits,
                                       const SamplingParams& params) {
  const size_t n = logits.size();
  const double best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p(n);
  for (size_t i = 0; i < n; ++i) p[i] = std::exp((logits[i] - best) / params.temperature);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  if (params.top_k > 0) order.resize(std::min(n, static_cast<size_t>(params.top_k)));
  double total = 0;
  for (const size_t i : order) total += p[i];
  double passed = 0;
  size_t kept = 0;
  while (kept < order.size() && passed < params.top_p * total * (1 - 1e-12)) {
    passed += p[order[kept++]];
  }
  order.resize(kept);
  std::erase_if(order, [&](size_t i) { return p[i] < params.min_p * p[order.front()]; });
  std::vector<double> out(n, 0);
  double mass = 0;
  for (const size_t i : order) mass += p[i];
  for (const size_t i : order) out[i] = p[i] / mass;
  return out;
}

struct Case {
  const char* name;
  std::vector<float> logits;
  SamplingParams params;
};

SamplingParams params_of(double temperature, double top_p, int top_k = 0, double min_p = 0) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_p = top_p;
  params.top_k = top_k;
  params.min_p = min_p;
  return params;
}

std::vector<Case> make_cases() {
  std::vector<float> flat(60, 1.5f), peaked, tied, wide, steep;
  for (int i = 0; i < 120; ++i) peaked.push_back(-0.35f * static_cast<float>(i * 37 % 120));
  for (int i = 0; i < 80; ++i) tied.push_back(static_cast<float>(i % 4));
  for (int i = 0; i < 300; ++i) wide.push_back(0.004f * static_cast<float>(i * 113 % 300));
  for (int i = 0; i < 50; ++i) steep.push_back(i == 17 ? 30.0f : 0.1f * static_cast<float>(i));
  return {{"flat", flat, params_of(0.6, 0.95)},
          {"peaked", peaked, params_of(0.6, 0.95)},
          {"tied", tied, params_of(1.0, 0.5)},
          {"wide", wide, params_of(1.3, 0.9)},
          {"untruncated", peaked, params_of(1.0, 1.0)},
          {"certain", steep, params_of(0.6, 0.95)},
          {"top_k", peaked, params_of(1.0, 0.9, 7)},
          {"top_k_tied", tied, params_of(1.0, 1.0, 30)},
          {"min_p", peaked, params_of(1.0, 1.0, 0, 0.2)},
          {"all_three", wide, params_of(0.8, 0.7, 100, 0.5)}};
}

class Distribution : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Sampler, Distribution, ::testing::ValuesIn(make_cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(Distribution, PassesAChiSquareTestOverAMillionDraws) {
  const Case& c = GetParam();
  const Sampler sampler(*cpu_kernels("auto"));
  Sampler::Scratch scratch;
  const int n = static_cast<int>(c.logits.size());
  std::vector<int64_t> counts(c.logits.size(), 0);
  for (uint32_t i = 0; i < kDraws; ++i) {
    ++counts[sampler.sample(c.logits.data(), n, {&c.params, {11, 22}, i, 0}, scratch).token];
  }
  const auto expected = exact_distribution(c.logits, c.params);
  double chi_square = 0;
  int cells = 0;
  double pooled_expected = 0, pooled_count = 0;  // cells too small for the approximation
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is not in the kept set";
      continue;
    }
    const double mean = expected[i] * kDraws;
    const auto count = static_cast<double>(counts[i]);
    if (mean < 10) {
      pooled_expected += mean;
      pooled_count += count;
      continue;
    }
    chi_square += (count - mean) * (count - mean) / mean;
    ++cells;
  }
  if (pooled_expected >= 10) {
    chi_square +=
        (pooled_count - pooled_expected) * (pooled_count - pooled_expected) / pooled_expected;
    ++cells;
  }
  const double k = cells - 1;
  if (k < 1) return;  // one token is certain
  // Wilson–Hilferty: nearly standard normal.
  const double z = (std::cbrt(chi_square / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
  std::printf("%s: chi-square %.1f with %.0f degrees of freedom, z %.2f\n", c.name, chi_square, k,
              z);
  EXPECT_LT(z, 3.7);   // 1 in 10,000
  EXPECT_GT(z, -3.7);  // draws that fit too well would be wrong as well
}

TEST(Sampler, GreedyTakesTheBestTokenAndTheLowestOfEqualOnes) {
  const Sampler sampler(*cpu_kernels("auto"));
  Sampler::Scratch scratch;
  const std::vector<float> logits = {0, 3, 1, 3, -2};
  const SamplingParams greedy = params_of(0, 0.5);
  const SampledToken sampled = sampler.sample(logits.data(), 5, {&greedy, {1, 2}, 0, 0}, scratch);
  EXPECT_EQ(sampled.token, 1);
  double total = 0;
  for (const float logit : logits) total += std::exp(double{logit});
  EXPECT_NEAR(sampled.logprob, 3 - std::log(total), 1e-6);
}

TEST(Sampler, ADrawDependsOnKeyPositionAndSampleIndex) {
  const Sampler sampler(*cpu_kernels("auto"));
  Sampler::Scratch scratch;
  const std::vector<float> logits(5000, 0.0f);
  const SamplingParams params = params_of(1, 1);
  const auto draw = [&](PhiloxKey key, uint32_t position, uint32_t sample) {
    return sampler.sample(logits.data(), 5000, {&params, key, position, sample}, scratch).token;
  };
  EXPECT_EQ(draw({1, 2}, 3, 4), draw({1, 2}, 3, 4));
  EXPECT_NE(draw({1, 2}, 3, 4), draw({1, 3}, 3, 4));
  EXPECT_NE(draw({1, 2}, 3, 4), draw({1, 2}, 4, 4));
  EXPECT_NE(draw({1, 2}, 3, 4), draw({1, 2}, 3, 5));
}

TEST(Sampler, ValuesThatAreNotFiniteGiveNoToken) {
  const Sampler sampler(*cpu_kernels("auto"));
  Sampler::Scratch scratch;
  const SamplingParams params = params_of(0.6, 0.95);
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> logits(64, 0.5f);
    logits[40] = bad;
    EXPECT_EQ(sampler.sample(logits.data(), 64, {&params, {1, 2}, 0, 0}, scratch).token, -1);
  }
  const std::vector<float> none(64, -INFINITY);
  EXPECT_EQ(sampler.sample(none.data(), 64, {&params, {1, 2}, 0, 0}, scratch).token, -1);
}

}  // namespace
}  // namespace assay
