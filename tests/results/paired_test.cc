// Paired comparisons: by hand, by simulation, and in the program.
#include "results/paired.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "harness/base/file.h"
#include "results/compare.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

SampleOutcome sample(int index, bool right) {
  SampleOutcome outcome;
  outcome.sample_index = index;
  outcome.correctness = right ? Correctness::kCorrect : Correctness::kIncorrect;
  return outcome;
}

// Each string is a question, each character a sample: "1" right, "0" wrong, "?" unscored.
SuiteOutcomes suite_of(const std::vector<std::string>& questions) {
  SuiteOutcomes suite;
  suite.plan.suite = "s";
  for (size_t q = 0; q < questions.size(); ++q) {
    suite.item_ids.push_back(std::to_string(q));
    suite.groups.push_back("");
    suite.questions.emplace_back();
    for (size_t i = 0; i < questions[q].size(); ++i) {
      SampleOutcome outcome = sample(static_cast<int>(i), questions[q][i] == '1');
      if (questions[q][i] == '?') outcome.correctness = Correctness::kUnscored;
      suite.questions.back().push_back(outcome);
    }
  }
  return suite;
}

TEST(Paired, CountsFlipsAndTheirErrors) {
  const PairedSuite paired =
      compare_suites(suite_of({"1100", "1111", "01?0"}), suite_of({"1000", "1111", "1110"}), {});
  EXPECT_EQ(paired.pairs, 11);
  EXPECT_EQ(paired.unpaired, 2);
  EXPECT_EQ(paired.right_to_wrong, 1);
  EXPECT_EQ(paired.wrong_to_right, 1);
  EXPECT_NEAR(paired.base, (0.5 + 1 + 1.0 / 3) / 3, 1e-12);
  EXPECT_NEAR(paired.difference, (-0.25 + 0 + 1.0 / 3) / 3, 1e-12);
  // Variances of the pairs' differences: 1/4 of four, 0, 1/3 of three.
  EXPECT_NEAR(*paired.sampling_se, std::sqrt(0.25 / 4 + (1.0 / 3) / 3) / 3, 1e-12);
  EXPECT_EQ(paired.mcnemar_p, 1);
}

TEST(Paired, OnePairAQuestionLeavesTheErrorOfNewQuestions) {
  const PairedSuite paired =
      compare_suites(suite_of({"1", "1", "0", "1"}), suite_of({"1", "0", "0", "0"}), {});
  EXPECT_FALSE(paired.sampling_se);
  EXPECT_NEAR(paired.question_se, std::sqrt((2 * 0.25 + 2 * 0.25) / 3 / 4), 1e-12);
  EXPECT_NEAR(paired.mcnemar_p, 0.5, 1e-12);      // 2 of 2 in one direction
  EXPECT_NEAR(paired.permutation_p, 0.5, 1e-12);  // |±1 ± 1| ≥ 2 in two of four
}

TEST(Paired, HolmStepsDown) {
  EXPECT_THAT(holm({0.01, 0.04, 0.03, 0.5}),
              ::testing::ElementsAre(::testing::DoubleEq(0.04), ::testing::DoubleEq(0.09),
                                     ::testing::DoubleEq(0.09), ::testing::DoubleEq(0.5)));
  EXPECT_EQ(holm({0.9, 0.8})[0], 1);
  EXPECT_TRUE(holm({}).empty());
}

struct Simulated {
  double losses = 0, no_losses = 0, covered = 0;
};

// A base and a variant that share random numbers: of each question's probability the variant loses
// `loss`, and a share `noise` of its samples is drawn anew.
Simulated simulate(double loss, double noise, int questions, int n, int runs) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> uniform(0, 1);
  Simulated out;
  CompareOptions options;
  options.margin = 0.02;
  for (int run = 0; run < runs; ++run) {
    std::vector<std::string> base, other;
    double truth = 0;
    for (int q = 0; q < questions; ++q) {
      const double p = 0.1 + 0.8 * uniform(random);
      truth -= loss / questions;
      base.emplace_back();
      other.emplace_back();
      for (int i = 0; i < n; ++i) {
        const double u = uniform(random), again = uniform(random);
        const double v = uniform(random) < noise ? again : u;
        base.back() += u < p ? '1' : '0';
        other.back() += v < p - loss ? '1' : '0';
      }
    }
    PairedSuite paired = compare_suites(suite_of(base), suite_of(other), options);
    decide({&paired}, options);
    const bool lost =
        paired.verdict == CompareVerdict::kLoss || paired.verdict == CompareVerdict::kSmallLoss;
    const bool within =
        paired.verdict == CompareVerdict::kNoLoss || paired.verdict == CompareVerdict::kSmallLoss;
    out.losses += lost ? 1.0 / runs : 0;
    out.no_losses += within ? 1.0 / runs : 0;
    out.covered +=
        paired.interval_95.lower <= truth && truth <= paired.interval_95.upper ? 1.0 / runs : 0;
  }
  return out;
}

TEST(Paired, VerdictsAreWrongNoMoreOftenThanAlpha) {
  const int runs = testing::kOptimized ? 2000 : 200;
  const double room = testing::kOptimized ? 0.015 : 0.05;  // three standard errors
  const Simulated same = simulate(0, 0.3, 60, 16, runs);
  EXPECT_LE(same.losses, 0.025 + room);
  const Simulated at_margin = simulate(0.02, 0.3, 60, 16, runs);
  EXPECT_LE(at_margin.no_losses, 0.05 + room);
  for (const Simulated& simulated : {same, at_margin}) {
    EXPECT_GE(simulated.covered, 0.95 - room);
    EXPECT_LE(simulated.covered, 0.965 + room);
  }
  // And right where there is something to see.
  EXPECT_GE(simulate(0.08, 0.1, 60, 64, 100).losses, 0.99);
  EXPECT_GE(simulate(0, 0.02, 60, 64, 100).no_losses, 0.99);
}

class CompareCommand : public ::testing::Test {
 protected:
  std::string run_of(const std::string& name, const std::string& flags) {
    const auto result = testing::run_program("run --model " + model(name) +
                                             " --tasks arithmetic:16 --limit 40 -o " +
                                             (folder_ / name) + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_ / name;
  }
  std::string model(const std::string& name) {
    if (name == "f32") return "builtin";
    const std::string path = folder_ / (name + ".gguf");
    EXPECT_EQ(testing::run_program("quantize builtin " + path + " --type " + name).exit_code, 0);
    return path;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(CompareCommand, FindsNoLossInASoundQuantizationAndALossInABrokenOne) {
  const std::string base = run_of("f32", ""), sound = run_of("q8_0", "");
  // "Broken": the same weights, but most completions are cut.
  const std::string broken = folder_ / "broken";
  ASSERT_EQ(testing::run_program("run --model " + (folder_ / "q8_0.gguf") +
                                 " --tasks arithmetic:16 --limit 40 --max-tokens 32 -o " + broken)
                .exit_code,
            0);
  const auto same = testing::run_program("compare " + base + " " + sound + " --margin 2 --kld");
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("no loss beyond 2 points"));
  EXPECT_THAT(same.out, HasSubstr("mean KLD"));
  const auto worse = testing::run_program("compare " + base + " " + broken + " --json");
  EXPECT_EQ(worse.exit_code, 1) << worse.err;
  const Json json = Json::parse(worse.out);
  const Json& suite = json["runs"][1]["suites"][0];
  EXPECT_THAT(suite["verdict"].get<std::string>(), HasSubstr("loss of"));
  EXPECT_LT(suite["difference"].get<double>(), -0.2);
  EXPECT_THAT(json["runs"][1]["warnings"].dump(), HasSubstr("max_tokens differs"));
}

TEST_F(CompareCommand, TheSameModelUnderOtherArithmeticIsSaidToBeSo) {
  const auto compared = testing::run_program(
      "compare builtin builtin@activations=f32,kv_cache=f32 --tasks arithmetic:16 --limit 40",
      "cd " + folder_.path() + " && ");
  ASSERT_NE(compared.exit_code, 2) << compared.err;
  EXPECT_THAT(compared.out, HasSubstr("what is compared is the arithmetic"));
  EXPECT_THAT(compared.out, HasSubstr("builtin@f32/f32"));
  EXPECT_EQ(
      testing::run_program("compare builtin builtin@colour=red --tasks arithmetic:1").exit_code, 2);
}

TEST_F(CompareCommand, WhatCannotBeReadIsSaidBeforeAnythingIsSampled) {
  const std::string text = folder_ / "short.txt";
  ASSERT_TRUE(write_file_atomically(text, "1 + 1 = 2").ok());
  const auto expect_error = [&](const std::string& arguments, const std::string& message) {
    const auto result = testing::run_program("compare --tasks arithmetic:1 --limit 2 " + arguments,
                                             "cd " + folder_.path() + " && ");
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_THAT(result.err, HasSubstr(message)) << arguments;
    EXPECT_FALSE(is_directory(folder_ / "runs")) << arguments;
  };
  expect_error("builtin builtin --text " + text, "windows of 512");
  expect_error("builtin builtin --text " + (folder_ / "none.txt"), "none.txt");
  expect_error("builtin http://localhost:1/v1#name --kld", "a model's own files");
  expect_error("builtin builtin@colour=red", "after \"@\"");
}

TEST_F(CompareCommand, RunsThatCannotBePairedAreRefused) {
  const std::string base = run_of("f32", "");
  const auto expect_error = [&](const std::string& arguments, const std::string& message) {
    const auto result = testing::run_program("compare " + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_THAT(result.err, HasSubstr(message)) << arguments;
  };
  expect_error(base + " " + (folder_ / "nothing"), "is no run");
  expect_error(base, "runs");
  const auto later = testing::run_program(
      "run --model builtin --tasks arithmetic:4 --limit 5 "
      "--first-sample 100 -o " +
      (folder_ / "later"));
  ASSERT_EQ(later.exit_code, 0) << later.err;
  expect_error(base + " " + (folder_ / "later"), "no question and sample in common");
}

}  // namespace
}  // namespace assay
