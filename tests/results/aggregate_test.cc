#include "results/aggregate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

bool equal_text(std::string_view a, std::string_view b) { return a == b; }

SampleOutcome outcome(bool correct, const std::string& answer, int tokens = 10) {
  return {correct ? Correctness::kCorrect : Correctness::kIncorrect, false, !answer.empty(), answer,
          tokens};
}

// C(n−c, k) / C(n, k) by counting in f64, for small n.
double by_definition(int n, int c, int k) {
  const auto choose = [](int a, int b) {
    double value = 1;
    for (int i = 0; i < b; ++i) value *= static_cast<double>(a - i) / (i + 1);
    return b > a ? 0 : value;
  };
  return 1 - choose(n - c, k) / choose(n, k);
}

TEST(PassAtK, IsTheUnbiasedEstimatorOfItsDefinition) {
  for (int n = 1; n <= 20; ++n) {
    for (int c = 0; c <= n; ++c) {
      for (int k = 1; k <= n; ++k) {
        EXPECT_NEAR(pass_at_k(n, c, k), by_definition(n, c, k), 1e-12) << n << c << k;
      }
    }
  }
  EXPECT_NEAR(pass_at_k(64, 16, 1), 0.25, 1e-12);
}

TEST(Consensus, TheMajorityAnswerDecides) {
  EXPECT_EQ(consensus({outcome(true, "1"), outcome(true, "1"), outcome(false, "2")}, equal_text),
            1);
  EXPECT_EQ(consensus({outcome(true, "1"), outcome(false, "2"), outcome(false, "2")}, equal_text),
            0);
}

TEST(Consensus, TiesAreSharedEvenlyAndMissingAnswersDoNotVote) {
  EXPECT_EQ(consensus({outcome(true, "1"), outcome(false, "2")}, equal_text), 0.5);
  EXPECT_EQ(consensus({outcome(true, "1"), outcome(false, ""), outcome(false, "")}, equal_text), 1);
  EXPECT_EQ(consensus({outcome(false, ""), outcome(false, "")}, equal_text), 0);
}

TEST(Consensus, VotesForClassesNotForStrings) {
  const auto same = [](std::string_view a, std::string_view b) {
    return std::stod(std::string(a)) == std::stod(std::string(b));
  };
  EXPECT_EQ(consensus({outcome(true, "0.5"), outcome(true, ".5"), outcome(true, "0.50"),
                       outcome(false, "7"), outcome(false, "7")},
                      same),
            1);
}

TEST(Summary, StandardErrorsAreThoseOfTheirFormulas) {
  // p = 0.5 and 1.0 with n = 4.
  const std::vector<std::vector<SampleOutcome>> questions = {
      {outcome(true, "1"), outcome(true, "1"), outcome(false, "2"), outcome(false, "3")},
      {outcome(true, "1"), outcome(true, "1"), outcome(true, "1"), outcome(true, "1", 50)}};
  const SuiteSummary summary = summarize("s", 4, questions, equal_text);
  EXPECT_DOUBLE_EQ(summary.pass_at_1, 0.75);
  EXPECT_DOUBLE_EQ(summary.sampling_se, std::sqrt(0.5 * 0.5 / 3) / 2);
  EXPECT_DOUBLE_EQ(summary.question_se, std::sqrt(0.125 / 2));
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(1), 0.75);
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(2), (by_definition(4, 2, 2) + 1) / 2);
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(4), 1);
  EXPECT_DOUBLE_EQ(summary.cons_at_n, 1);
  EXPECT_DOUBLE_EQ(summary.mean_tokens, (7 * 10 + 50) / 8.0);
}

TEST(Summary, UnscoredSamplesAreCountedAndInNoScore) {
  SampleOutcome unscored = outcome(false, "");
  unscored.correctness = Correctness::kUnscored;
  const SuiteSummary summary =
      summarize("s", 2, {{outcome(true, "1"), unscored}, {unscored, unscored}}, equal_text);
  EXPECT_EQ(summary.unscored, 3);
  EXPECT_EQ(summary.pass_at_1, 1);
  EXPECT_EQ(summary.pass_at_k.size(), 1u);  // only one scored sample everywhere: k = 1
}

}  // namespace
}  // namespace assay
