// Every suite end to end: stored completions are scored, judged and reported, and the report is the
// one that is kept. The completions come from scripts/make_golden.py.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "harness/base/file.h"
#include "scorers/code/code.h"
#include "suites/suite.h"
#include "tests/support.h"

namespace assay {
namespace {

std::string golden(const std::string& file) { return testing::tests_path("golden/" + file); }

// How many questions of each suite (or of each of its groups) the completions cover.
int limit_of(const std::string& suite) {
  return suite == "ifeval"                   ? 40
         : suite == "arena_hard"             ? 8
         : suite == "hle"                    ? 3
         : suite == "arena_hard_v2_creative" ? 4
                                             : 2;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, TheReportIsTheOneThatIsKept) {
  const std::string suite = GetParam();
  const auto loaded = find_suite(suite);
  ASSERT_OK(loaded);
  // The data that cannot be had are replaced by assay's samples in their format.
  const bool sample = suite.starts_with("gpqa") || suite == "hle" || suite == "livecodebench" ||
                      suite == "arena_hard_v2_creative";
  const std::string data =
      sample ? testing::tests_path("../datasets/samples") : testing::data_dir();
  if ((loaded->data.empty() || !loaded->data.front().in_tree) && !sample) {
    ASSAY_NEED_DATA("math500/test.jsonl");
  }
  const bool programs = loaded->scorer == "code_tests" || loaded->scorer.starts_with("humaneval");
  if (const Status able = can_run_programs(); programs && !able.ok()) {
    GTEST_SKIP() << able.error().message;
  }
  const testing::TemporaryFolder folder;
  std::string arguments = "score --data " + data + " --tasks " + suite + " --limit " +
                          std::to_string(limit_of(suite)) + " --completions " +
                          golden(suite + ".jsonl") + " -o " + (folder / "run");
  if (loaded->judge) arguments += " --judge completions:" + golden(suite + ".judge.jsonl");
  const auto result = testing::run_program(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto expected = read_file(golden(suite + ".txt"));
  ASSERT_OK(expected);
  EXPECT_EQ(result.out, *expected);
  // Scored again without the model or the judge, it is the same.
  EXPECT_EQ(testing::run_program("score " + (folder / "run")).out, *expected);
}

std::vector<std::string> golden_suites() {
  std::vector<std::string> suites;
  for (const auto& entry : std::filesystem::directory_iterator(golden(""))) {
    if (entry.path().extension() == ".txt") suites.push_back(entry.path().stem());
  }
  return suites;
}

INSTANTIATE_TEST_SUITE_P(Suites, Golden, ::testing::ValuesIn(golden_suites()),
                         [](const auto& one) { return one.param; });

TEST(GoldenRuns, CoverEverySuiteOfQuestions) {
  const std::vector<std::string> covered = golden_suites();
  const std::set<std::string> there(covered.begin(), covered.end());
  const auto names = suite_names();
  ASSERT_OK(names);
  for (const std::string& name : *names) {
    const auto suite = find_suite(name);
    ASSERT_OK(suite);
    const bool needed = !suite->data.empty() || name == "aa_math";
    EXPECT_TRUE(!needed || there.contains(name)) << name;
  }
}

TEST(GoldenRuns, AnIndexWithoutOneOfItsComponentsNamesIt) {
  ASSAY_NEED_DATA("math500/test.jsonl");
  const testing::TemporaryFolder folder;
  const auto result = testing::run_program("score --data " + testing::data_dir() +
                                           " --tasks aa_math,aa_intelligence --limit 2 "
                                           "--completions " +
                                           golden("aa_math.jsonl") + " -o " + (folder / "run"));
  EXPECT_EQ(result.exit_code, 2) << "there is no GPQA here";
  EXPECT_NE(result.err.find("gpqa/gpqa_diamond.csv"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace assay
