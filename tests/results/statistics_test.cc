// Estimators and intervals, by simulation, by enumeration and against recorded numbers of scipy.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "harness/base/json.h"
#include "results/aggregate.h"
#include "results/consensus.h"
#include "results/intervals.h"
#include "tests/support.h"

namespace assay {
namespace {

using Random = std::mt19937_64;

double beta(Random& random, double a, double b) {
  std::gamma_distribution<double> x(a, 1), y(b, 1);
  const double first = x(random);
  return first / (first + y(random));
}

// How hard a suite's questions are: a probability of a correct sample for each.
struct Difficulty {
  const char* name;
  std::function<double(Random&)> draw;
  double mean;
};

std::vector<Difficulty> difficulties() {
  return {{"hard", [](Random& r) { return beta(r, 0.3, 2.7); }, 0.1},
          {"middle", [](Random& r) { return beta(r, 0.5, 0.5); }, 0.5},
          {"very hard", [](Random& r) { return beta(r, 0.3, 5.7); }, 0.05},
          {"easy", [](Random& r) { return beta(r, 8, 0.5); }, 8 / 8.5},
          {"very easy", [](Random& r) { return beta(r, 2, 0.105); }, 2 / 2.105},
          {"even", [](Random&) { return 0.7; }, 0.7}};
}

struct Coverage {
  double sampling = 0, question = 0;
};

Coverage simulate(const Difficulty& difficulty, int questions, int n, int runs) {
  Random random(7);
  Coverage covered;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> values, variances;
    double truth = 0;
    for (int q = 0; q < questions; ++q) {
      const double p = difficulty.draw(random);
      const int c = std::binomial_distribution<int>(n, p)(random);
      truth += p / questions;
      values.push_back(pass_at_k(n, c, 1));
      if (n > 1) variances.push_back(pass_at_k_variance(n, c, 1));
    }
    const Estimate estimate = estimate_mean(values, variances, n);
    const auto holds = [](const std::optional<Interval>& interval, double value) {
      return interval && interval->lower <= value && value <= interval->upper ? 1.0 : 0.0;
    };
    covered.sampling += holds(estimate.sampling_95, truth) / runs;
    covered.question += holds(estimate.question_95, difficulty.mean) / runs;
  }
  return covered;
}

TEST(Intervals, CoverWhatTheySayForHardAndEasySuites) {
  struct Shape {
    int questions, n;
  };
  const int runs = testing::kOptimized ? 10'000 : 400;
  const double room = testing::kOptimized ? 0 : 0.03;
  for (const Difficulty& difficulty : difficulties()) {
    for (const Shape& shape : {Shape{30, 64}, Shape{198, 16}, Shape{500, 4}}) {
      const Coverage covered = simulate(difficulty, shape.questions, shape.n, runs);
      const std::string where = std::string(difficulty.name) + " " +
                                std::to_string(shape.questions) + " × " + std::to_string(shape.n);
      EXPECT_GE(covered.sampling, 0.935 - room) << where;
      EXPECT_LE(covered.sampling, 0.965 + room) << where;
      EXPECT_GE(covered.question, 0.935 - room) << where;
      EXPECT_LE(covered.question, 0.965 + room) << where;
      printf("%s: sampling %.4f question %.4f\n", where.c_str(), covered.sampling,
             covered.question);
    }
  }
}

TEST(Intervals, ScoresOfZeroAndOneHaveAWidth) {
  for (const double value : {0.0, 1.0}) {
    const std::vector<double> values(30, value), variances(30, 0.0);
    const Estimate estimate = estimate_mean(values, variances, 64);
    EXPECT_EQ(*estimate.sampling_se, 0);
    EXPECT_NEAR(estimate.sampling_95->upper - estimate.sampling_95->lower, 0.002, 0.0001);
    EXPECT_NEAR(estimate.question_95->upper - estimate.question_95->lower, 0.1223, 0.0001);
  }
}

TEST(Intervals, OneSampleAQuestionTellsNothingOfNewSamples) {
  const Estimate estimate = estimate_mean({1, 0, 1, 1}, {}, 1);
  EXPECT_FALSE(estimate.sampling_se);
  EXPECT_FALSE(estimate.sampling_95);
  EXPECT_TRUE(estimate.question_95);
  EXPECT_FALSE(estimate_mean({1}, {}, 1).question_95);
}

TEST(Estimators, PassAtKAndItsVarianceAreUnbiased) {
  Random random(3);
  for (const double p : {0.02, 0.3, 0.9}) {
    for (const int k : {1, 2, 4, 8}) {
      constexpr int kSamples = 16, kRuns = 200'000;
      const double truth = 1 - std::pow(1 - p, k);
      double mean = 0, squares = 0, variance = 0;
      std::binomial_distribution<int> draw(kSamples, p);
      for (int run = 0; run < kRuns; ++run) {
        const int c = draw(random);
        const double value = pass_at_k(kSamples, c, k);
        mean += value / kRuns;
        squares += value * value / kRuns;
        variance += pass_at_k_variance(kSamples, c, k) / kRuns;
      }
      const double spread = squares - mean * mean;
      EXPECT_NEAR(mean, truth, 4 * std::sqrt(spread / kRuns)) << p << " " << k;
      EXPECT_NEAR(variance, spread, 0.03 * spread + 1e-6) << p << " " << k;
    }
  }
}

// cons@k by drawing every subset of k.
double by_enumeration(const Votes& votes, int k) {
  std::vector<size_t> ballots(static_cast<size_t>(votes.abstained), 99);
  for (size_t i = 0; i < votes.classes.size(); ++i) {
    ballots.insert(ballots.end(), static_cast<size_t>(votes.classes[i].votes), i);
  }
  double sum = 0, subsets = 0;
  for (unsigned mask = 0; mask < 1u << ballots.size(); ++mask) {
    if (__builtin_popcount(mask) != k) continue;
    Votes chosen;
    chosen.classes.resize(votes.classes.size());
    for (size_t i = 0; i < ballots.size(); ++i) {
      if ((mask >> i & 1) != 0 && ballots[i] != 99) ++chosen.classes[ballots[i]].votes;
    }
    for (size_t i = 0; i < votes.classes.size(); ++i) {
      chosen.classes[i].correct = votes.classes[i].correct;
    }
    std::sort(chosen.classes.rbegin(), chosen.classes.rend());
    std::erase_if(chosen.classes, [](const VoteClass& entry) { return entry.votes == 0; });
    sum += majority_is_correct(chosen);
    subsets += 1;
  }
  return sum / subsets;
}

TEST(Estimators, ConsensusAtKIsTheMeanOverAllSubsets) {
  const std::vector<Votes> cases = {
      {{{3, true}, {2, false}, {2, false}, {1, false}}, 2},
      {{{4, false}, {4, true}, {1, true}}, 1},
      {{{1, true}, {1, false}, {1, false}, {1, false}, {1, false}}, 0},
      {{{6, true}}, 5},
      {{{5, false}, {3, false}}, 2},
      {{}, 4},
      {{{2, true}, {2, true}, {2, false}, {2, false}, {2, false}}, 1}};
  for (const Votes& votes : cases) {
    const std::vector<double> value = consensus_at_k(votes);
    for (int k = 1; k <= votes.samples(); ++k) {
      EXPECT_NEAR(value[static_cast<size_t>(k)], by_enumeration(votes, k), 1e-12) << k;
    }
    EXPECT_NEAR(value.back(), majority_is_correct(votes), 1e-12);
  }
}

Votes draw_votes(Random& random, int n, const std::vector<double>& shares) {
  std::vector<VoteClass> counts(shares.size());
  counts[0].correct = true;
  Votes votes;
  std::discrete_distribution<size_t> draw(shares.begin(), shares.end());
  for (int i = 0; i < n; ++i) {
    const size_t ballot = draw(random);
    ballot + 1 == shares.size() ? ++votes.abstained : ++counts[ballot].votes;
  }
  for (const VoteClass& entry : counts) {
    if (entry.votes > 0) votes.classes.push_back(entry);
  }
  std::sort(votes.classes.rbegin(), votes.classes.rend());
  return votes;
}

TEST(Estimators, ConsensusAtKIsUnbiasedAndItsErrorIsTheOneSeen) {
  const std::vector<double> shares = {0.4, 0.3, 0.1, 0.05, 0.05, 0.1};  // the last: no answer
  Random random(5);
  for (const int k : {1, 4, 8, 16}) {
    double truth = 0;
    for (int run = 0; run < 40'000; ++run) {
      truth += majority_is_correct(draw_votes(random, k, shares)) / 40'000;
    }
    constexpr int kRuns = 1'500;
    double mean = 0, squares = 0, variance = 0;
    for (int run = 0; run < kRuns; ++run) {
      const Votes votes = draw_votes(random, 32, shares);
      const double value = consensus_at_k(votes)[static_cast<size_t>(k)];
      mean += value / kRuns;
      squares += value * value / kRuns;
      variance += consensus_variance(votes)[static_cast<size_t>(k)] / kRuns;
    }
    const double spread = squares - mean * mean;
    EXPECT_NEAR(mean, truth, 4 * std::sqrt(spread / kRuns + 0.25 / 40'000)) << k;
    EXPECT_NEAR(variance / spread, 1, 0.3) << k;
  }
}

TEST(Estimators, OverTheExactSizesConsensusIsEstimatedCloseToIt) {
  Votes small{{{60, true}, {50, false}, {20, false}}, 70};  // 200
  Votes large{{{120, true}, {100, false}, {40, false}}, 140};
  const std::vector<double> exact = consensus_at_k(small), estimated = consensus_at_k(large);
  EXPECT_NEAR(estimated[1], exact[1], 0.04);
  EXPECT_NEAR(estimated[8], exact[8], 0.04);
  EXPECT_NEAR(estimated.back(), 1, 1e-9);
  EXPECT_GT(consensus_variance(large)[8], 0);
}

TEST(Intervals, AgreeWithScipy) {
  const Json cases = testing::load_json(testing::tests_path("cases/statistics.json"));
  for (const Json& c : cases["wilson"]) {
    const double p = c["k"].get<double>() / c["n"].get<double>();
    const double n = c["n"].get<double>();
    const Interval interval =
        wilson_interval(p, std::sqrt(p * (1 - p) / n), n, normal_quantile(0.975));
    EXPECT_NEAR(interval.lower, c["lower"].get<double>(), 1e-9);
    EXPECT_NEAR(interval.upper, c["upper"].get<double>(), 1e-9);
  }
  for (const Json& c : cases["t_quantile"]) {
    EXPECT_NEAR(t_quantile(c["p"].get<double>(), c["df"].get<double>()), c["value"].get<double>(),
                1e-8);
  }
  for (const Json& c : cases["normal_quantile"]) {
    EXPECT_NEAR(normal_quantile(c["p"].get<double>()), c["value"].get<double>(), 1e-9);
    EXPECT_NEAR(normal_cdf(c["value"].get<double>()), c["p"].get<double>(), 1e-12);
  }
  for (const Json& c : cases["sign_test"]) {
    EXPECT_NEAR(sign_test_p(c["k"].get<int64_t>(), c["n"].get<int64_t>()), c["p"].get<double>(),
                1e-9);
  }
}

Measured rating_of(const std::vector<std::pair<double, bool>>& solved,
                   std::vector<double> permille = {}) {
  std::vector<std::vector<SampleOutcome>> questions;
  for (const auto& [difficulty, right] : solved) {
    SampleOutcome wrong, last;
    wrong.correctness = Correctness::kIncorrect;
    last.correctness = right ? Correctness::kCorrect : Correctness::kIncorrect;
    wrong.values["difficulty"] = last.values["difficulty"] = difficulty;
    questions.push_back({wrong, last});
  }
  return measured({"rating", "difficulty", "", "points", "rating", "", std::move(permille)},
                  questions);
}

TEST(Statistics, a_rating_is_scipys_maximum_of_the_likelihood) {
  const Json cases = testing::load_json(testing::tests_path("cases/statistics.json"));
  ASSERT_GE(cases["rating"].size(), 3u);
  for (const Json& c : cases["rating"]) {
    std::vector<std::pair<double, bool>> solved;
    for (const Json& question : c["solved"]) {
      solved.emplace_back(question[0].get<double>(), question[1].get<int>() == 1);
    }
    const Measured rating = rating_of(solved);
    EXPECT_NEAR(rating.value, c["rating"].get<double>(), 1e-6) << c["name"];
    EXPECT_NEAR(rating.question_se, c["se"].get<double>(), 1e-6) << c["name"];
    EXPECT_FALSE(rating.unbounded);
  }
}

TEST(Statistics, a_rating_without_a_bound_says_so_and_a_percentile_is_the_share_below) {
  std::vector<double> permille;  // ratings 1000 to 2000, evenly
  for (int i = 0; i <= 1000; ++i) permille.push_back(1000 + i);
  const Measured all = rating_of({{800, true}, {1750, true}}, permille);
  EXPECT_TRUE(all.unbounded);
  EXPECT_EQ(all.value, 1750);
  EXPECT_NEAR(*all.percentile, 0.75, 1e-9);
  const Measured none = rating_of({{800, false}, {1750, false}}, permille);
  EXPECT_TRUE(none.unbounded);
  EXPECT_EQ(none.value, 800);
  EXPECT_EQ(*none.percentile, 0);
  EXPECT_FALSE(rating_of({{800, true}, {1750, false}}).percentile);
  EXPECT_EQ(rating_of({}).samples, 0);
}

}  // namespace
}  // namespace assay
