// Scores by commit.
#include "results/history.h"

#include <gmock/gmock.h>

#include <random>

#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

TEST(Changes, AreFoundWhereTheLevelMoves) {
  const std::vector<double> scores = {0.712, 0.709, 0.711, 0.710, 0.680, 0.682, 0.679, 0.715};
  const std::vector<double> errors(scores.size(), 0.003);
  const std::vector<ChangePoint> changes = find_changes(scores, errors, 0.01);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].index, 4u);
  EXPECT_NEAR(changes[0].after, 0.680, 0.002);
  EXPECT_EQ(changes[1].index, 7u);
  EXPECT_TRUE(find_changes({0.5}, {0.01}, 0.01).empty());
  EXPECT_TRUE(find_changes({}, {}, 0.01).empty());
  EXPECT_EQ(find_changes({0.5, 0.6}, {0, 0}, 0.01).size(), 1u);
}

TEST(Changes, OfNoiseAreFoundNoMoreOftenThanAlpha) {
  std::mt19937_64 random(9);
  std::normal_distribution<double> noise(0, 0.01);
  double found = 0;
  constexpr int kRuns = 2000;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> scores(20), errors(20, 0.01);
    for (double& score : scores) score = 0.5 + noise(random);
    found += find_changes(scores, errors, 0.05).empty() ? 0 : 1.0 / kRuns;
  }
  EXPECT_LE(found, 0.05 + 3 * 0.005);
  EXPECT_GT(found, 0.005);
}

TEST(TellingQuestions, AreThoseWhoseSamplesChanged) {
  SuiteOutcomes base, other;
  for (int q = 0; q < 10; ++q) {
    for (SuiteOutcomes* suite : {&base, &other}) {
      suite->item_ids.push_back("q" + std::to_string(q));
      suite->questions.emplace_back();
      for (int i = 0; i < 16; ++i) {
        SampleOutcome outcome;
        outcome.sample_index = i;
        const bool lost = suite == &other && (q == 3 || q == 7);
        outcome.correctness = i < (lost ? 2 : 12) ? Correctness::kCorrect : Correctness::kIncorrect;
        suite->questions.back().push_back(outcome);
      }
    }
  }
  const TellingQuestions telling = telling_questions(base, other, 2);
  ASSERT_EQ(telling.questions.size(), 2u);
  EXPECT_EQ(telling.questions[0].item_id, "q3");
  EXPECT_EQ(telling.questions[1].item_id, "q7");
  EXPECT_GT(telling.power_samples, 4);
  EXPECT_LT(telling.power_samples, 60);
}

TEST(HistoryCommand, KeepsRunsByCommitAndFindsTheChange) {
  const testing::TemporaryFolder folder;
  const std::string file = "history --file " + (folder / "h.sqlite") + " ";
  std::vector<std::string> runs;
  for (int i = 0; i < 4; ++i) {
    const std::string run = folder / ("r" + std::to_string(i));
    const std::string cut = i < 2 ? "" : " --max-tokens 40";
    ASSERT_EQ(testing::run_program("run --model builtin --tasks arithmetic:8 --seed " +
                                   std::to_string(i) + cut + " -o " + run)
                  .exit_code,
              0);
    const auto added =
        testing::run_program(file + "add " + run + " --commit c" + std::to_string(i));
    EXPECT_EQ(added.exit_code, 0) << added.err;
    runs.push_back(run);
  }
  EXPECT_THAT(testing::run_program(file + "add " + runs[0] + " --commit c0").err,
              HasSubstr("already"));
  const auto shown = testing::run_program(file + "show");
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  // Another limit of tokens is another series.
  EXPECT_EQ(shown.out.find("points from here on"), std::string::npos);
  const auto bisect =
      testing::run_program(file + "bisect " + runs[0] + " " + runs[2] + " --questions 20");
  EXPECT_EQ(bisect.exit_code, 0) << bisect.err;
  const size_t at = bisect.out.find("assay run ");
  ASSERT_NE(at, std::string::npos) << bisect.out;
  const std::string command = bisect.out.substr(at + 6, bisect.out.find('\n', at) - at - 6);
  const auto quick = testing::run_program(command + " --model builtin -o " + (folder / "quick"));
  EXPECT_EQ(quick.exit_code, 0) << quick.err;
  EXPECT_EQ(testing::run_program(file + "show --suite nothing").exit_code, 2);
  EXPECT_EQ(
      testing::run_program("run --model builtin --tasks arithmetic:1 --questions nope").exit_code,
      2);
}

}  // namespace
}  // namespace assay
