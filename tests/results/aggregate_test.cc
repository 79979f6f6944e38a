#include "results/aggregate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

double consensus(const std::vector<SampleOutcome>& samples, const SameAnswer& same_answer) {
  return majority_is_correct(votes_of(samples, same_answer));
}

bool equal_text(std::string_view a, std::string_view b) { return a == b; }

SampleOutcome outcome(bool correct, const std::string& answer, int tokens = 10) {
  return {correct ? Correctness::kCorrect : Correctness::kIncorrect,
          false,
          !answer.empty(),
          answer,
          tokens,
          {},
          0,
          0,
          ""};
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
  EXPECT_DOUBLE_EQ(summary.pass_at_1.value, 0.75);
  EXPECT_DOUBLE_EQ(*summary.pass_at_1.sampling_se, std::sqrt(0.5 * 0.5 / 3) / 2);
  EXPECT_DOUBLE_EQ(summary.pass_at_1.question_se, std::sqrt(0.125 / 2));
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(1).value, 0.75);
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(2).value, (by_definition(4, 2, 2) + 1) / 2);
  EXPECT_DOUBLE_EQ(summary.pass_at_k.at(4).value, 1);
  EXPECT_DOUBLE_EQ(summary.cons_at_k.at(4).value, 1);
  EXPECT_DOUBLE_EQ(summary.tokens.mean, (7 * 10 + 50) / 8.0);
}

TEST(Summary, UnscoredSamplesAreCountedAndInNoScore) {
  SampleOutcome unscored = outcome(false, "");
  unscored.correctness = Correctness::kUnscored;
  const SuiteSummary summary =
      summarize("s", 2, {{outcome(true, "1"), unscored}, {unscored, unscored}}, equal_text);
  EXPECT_EQ(summary.unscored, 3);
  EXPECT_EQ(summary.pass_at_1.value, 1);
  EXPECT_EQ(summary.pass_at_k.size(), 1u);  // only one scored sample everywhere: k = 1
}

TEST(Summary, GroupsWeighTheSameInTheMacroAverageAndItsNormalisedForm) {
  // Group a: 3 of 4 questions right; group b: 0 of 1; group c has no known chance.
  std::vector<std::vector<SampleOutcome>> questions;
  for (const bool correct : {true, true, true, false, false, true}) {
    questions.push_back({outcome(correct, "x", 1)});
  }
  SummaryOptions options{{"a", "a", "a", "a", "b", "c"}, true, true, true,
                         {{"a", 0.5}, {"b", 0.25}},      {},   0};
  const SuiteSummary summary = summarize("s", 1, questions, equal_text, options);
  EXPECT_NEAR(summary.pass_at_1.value, 4.0 / 6, 1e-12);
  EXPECT_NEAR(summary.macro->value, (0.75 + 0 + 1) / 3, 1e-12);
  EXPECT_NEAR(summary.normalised->value, (0.5 + 0) / 2, 1e-12);
  EXPECT_EQ(summary.groups.at("a").questions, 4);
  // sqrt(p(1−p)/(n−1)) of group a is 0.25; b and c have one question each.
  EXPECT_NEAR(summary.macro->question_se, 0.25 / 3, 1e-12);
  EXPECT_NEAR(summary.normalised->question_se, 0.5 / 2, 1e-12);
}

TEST(Summary, AMeasureIsAMeanOrARatioOfSums) {
  std::vector<std::vector<SampleOutcome>> questions(3);
  const double followed[] = {1, 2, 0}, asked[] = {1, 3, 2};
  for (size_t i = 0; i < 3; ++i) {
    questions[i].push_back(outcome(true, "x", 1));
    questions[i][0].values = {{"followed", followed[i]}, {"asked", asked[i]}};
  }
  questions.push_back({outcome(false, "y", 1)});  // has no values
  const SummaryOptions options{
      {},
      false,
      true,
      true,
      {},
      {{"r", "followed", "asked", "percent", "mean"}, {"m", "followed", "", "points", "mean"}},
      0};
  const SuiteSummary summary = summarize("s", 1, questions, equal_text, options);
  EXPECT_NEAR(summary.measures[0].value, 3.0 / 6, 1e-12);
  EXPECT_EQ(summary.measures[0].samples, 3);
  // Residuals 0.5, 0.5, −1: sqrt(1.5 · 3/2)/6.
  EXPECT_NEAR(summary.measures[0].question_se, std::sqrt(2.25) / 6, 1e-12);
  EXPECT_NEAR(summary.measures[1].value, 1.0, 1e-12);
  EXPECT_NEAR(summary.measures[1].question_se, std::sqrt(1.0 / 3), 1e-12);
}

}  // namespace
}  // namespace assay
