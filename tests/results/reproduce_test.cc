// Published scores, reproduced or not.
#include "results/reproduce.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "suites/published.h"
#include "suites/suite.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

TEST(Reproduce, CloseScoresAreReproducedFarOnesAreNotAndCoarseOnesUndecided) {
  const OwnScore own{0.711, 0.0034, 64, 100};
  EXPECT_EQ(reproduce(own, 0.711, 64, 0.001, {}).verdict, ReproduceVerdict::kReproduced);
  EXPECT_EQ(reproduce(own, 0.70, 64, 0.001, {}).verdict, ReproduceVerdict::kReproduced);
  EXPECT_EQ(reproduce(own, 0.75, 64, 0.001, {}).verdict, ReproduceVerdict::kNotReproduced);
  EXPECT_EQ(reproduce(own, 0.73, 64, 0.001, {}).verdict, ReproduceVerdict::kUndecided);
  const OwnScore coarse{0.70, 0.03, 4, 30};
  const Reproduction undecided = reproduce(coarse, 0.70, 64, 0.001, {});
  EXPECT_EQ(undecided.verdict, ReproduceVerdict::kUndecided);
  ASSERT_FALSE(undecided.samples_to_decide);  // 64 published samples leave ±0.75 points
  ReproduceOptions wide;
  wide.margin = 0.05;
  const auto enough = reproduce(coarse, 0.70, 64, 0.001, wide).samples_to_decide;
  ASSERT_TRUE(enough);
  // With that many it is decided.
  const OwnScore more{0.70, 0.03 * std::sqrt(4.0 / static_cast<double>(*enough)),
                      static_cast<int>(*enough), 30};
  EXPECT_EQ(reproduce(more, 0.70, 64, 0.001, wide).verdict, ReproduceVerdict::kReproduced);
}

TEST(Reproduce, PublishedScoresOfFewSamplesAreLessCertain) {
  const OwnScore own{0.5, 0.005, 64, 30};
  const double few = reproduce(own, 0.5, 1, 0.001, {}).published_se;
  const double many = reproduce(own, 0.5, 64, 0.001, {}).published_se;
  EXPECT_NEAR(few / many, 8, 0.1);
  // Greedy samples never differ; that says nothing of the published ones.
  EXPECT_NEAR(reproduce({0.5, 0, 1, 30}, 0.5, 64, 0.001, {}).published_se,
              std::sqrt(0.25 / 30 / 64), 1e-4);
}

TEST(Reproduce, ErrsNoMoreOftenThanAlpha) {
  std::mt19937_64 random(3);
  const int runs = testing::kOptimized ? 4000 : 400;
  constexpr int kQuestions = 50, kN = 32;
  const auto score = [&](double p) {
    double sum = 0, variance = 0;
    for (int q = 0; q < kQuestions; ++q) {
      const double own = static_cast<double>(std::binomial_distribution<int>(kN, p)(random)) / kN;
      sum += own / kQuestions;
      variance += own * (1 - own) / (kN - 1) / kQuestions / kQuestions;
    }
    return OwnScore{sum, std::sqrt(variance), kN, kQuestions};
  };
  double false_same = 0, false_other = 0, right = 0;
  ReproduceOptions options;
  options.margin = 0.04;
  for (int run = 0; run < runs; ++run) {
    // At the margin: neither verdict may be given more often than alpha.
    const auto at_margin = reproduce(score(0.64), score(0.6).value, kN, 1e-9, options).verdict;
    false_same += at_margin == ReproduceVerdict::kReproduced ? 1.0 / runs : 0;
    false_other += at_margin == ReproduceVerdict::kNotReproduced ? 1.0 / runs : 0;
    const auto same = reproduce(score(0.6), score(0.6).value, kN, 1e-9, options).verdict;
    right += same == ReproduceVerdict::kReproduced ? 1.0 / runs : 0;
  }
  EXPECT_LE(false_same, 0.05 + 3 * std::sqrt(0.05 / runs));
  EXPECT_LE(false_other, 0.05 + 3 * std::sqrt(0.05 / runs));
  EXPECT_GE(right, 0.5);
}

TEST(Published, EveryScoreBelongsToASuiteThatThereIs) {
  const auto published = load_published();
  ASSERT_OK(published);
  EXPECT_GE(published->scores.size(), 70u);
  for (const PublishedScore& score : published->scores) {
    EXPECT_TRUE(find_suite(score.suite).ok()) << score.suite;
    EXPECT_FALSE(score.source.empty());
    EXPECT_GT(score.value, 0) << score.suite;
  }
  EXPECT_EQ(published->quantizations.size(), 4u);
  EXPECT_FALSE(parse_published(R"({"sources": 3})", "p").ok());
  EXPECT_FALSE(
      parse_published(R"({"sources": [], "quantizations": [], "templates": [{}]})", "p").ok());
  EXPECT_TRUE(names_model("DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf", "R1-Distill-Qwen-7B"));
  EXPECT_FALSE(names_model("DeepSeek-R1-Distill-Qwen-7B", "R1-Distill-Qwen-1.5B"));
}

TEST(ReproduceCommand, TheBuiltInModelReproducesItsOwnCard) {
  const testing::TemporaryFolder folder;
  const std::string run = "cd " + folder.path() + " && ";
  const auto result = testing::run_program("reproduce builtin", run);
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_THAT(result.out, HasSubstr("reproduced"));
}

TEST(ReproduceCommand, AMissIsTracedToWhatTheRunShows) {
  const testing::TemporaryFolder folder;
  const std::string run = "cd " + folder.path() + " && ";
  const auto cut = testing::run_program("reproduce builtin -n 8 --max-tokens 36 --json", run);
  EXPECT_EQ(cut.exit_code, 1) << cut.err;
  const Json json = Json::parse(cut.out);
  EXPECT_EQ(json[0]["verdict"], "not reproduced");
  EXPECT_EQ(json[0]["suspects"][0]["name"], "truncation");
  EXPECT_GT(json[0]["suspects"][0]["points"].get<double>(), 20);
  EXPECT_EQ(testing::run_program("reproduce nobody --as builtin", run).exit_code, 2);
  const auto unknown = testing::run_program("reproduce builtin --as gpt-9", run);
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("R1-Distill-Qwen-7B"));
}

}  // namespace
}  // namespace assay
