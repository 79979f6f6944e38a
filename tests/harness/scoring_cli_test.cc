// `assay score --completions` and `assay equal`, as a user calls them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::run_program;

class ScoringCli : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    EXPECT_TRUE(write_file_atomically(path, text).ok());
    return path;
  }
  std::string score(const std::string& path) {
    return "score --tasks arithmetic --limit 2 --completions " + path + " -o " + (folder_ / "run");
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ScoringCli, CompletionsThatAssayDidNotMakeGetTheSameReportAndRun) {
  const std::string first = R"({"id": "arithmetic-000", "completion": ["\\boxed{436}", "1"]})";
  const std::string second =
      R"({"question_id": "arithmetic-001", "completion": [)"
      R"("<think>\\boxed{1}</think> \\boxed{\\frac{52}{2}}", "\\boxed{27}"]})";
  const auto result = run_program(score(file("outputs.jsonl", first + "\n" + second + "\n")));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("model outputs.jsonl"), ContainsRegex("arithmetic +2 +2 +50.0"),
                    ContainsRegex("pass@k +50.0 +100.0")));
  const auto exported = run_program("export " + (folder_ / "run"));
  EXPECT_THAT(exported.out, HasSubstr("\\\\frac{52}{2}"));
}

TEST_F(ScoringCli, AnAuditListsWhatAPersonShouldLookAt) {
  const std::string rows =
      R"({"id": "arithmetic-000", "completion": ["The answer is 436.", "It is 4361."]})"
      "\n"
      R"({"id": "arithmetic-001", "completion": ["\\boxed{7}, no: \\boxed{26}", "\\boxed{9^{9^{9^9}}}"]})"
      "\n";
  ASSERT_EQ(run_program(score(file("o.jsonl", rows))).exit_code, 0);
  const auto result = run_program("score --audit " + (folder_ / "run"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(
      result.out,
      AllOf(HasSubstr("arithmetic arithmetic-000 #0: gold at the end, no answer taken"),
            HasSubstr("arithmetic arithmetic-001 #0: boxes of more than one answer (correct by"),
            HasSubstr("arithmetic arithmetic-001 #1: undecided (unscored by undecided)"),
            HasSubstr("4 samples; boxes of more than one answer: 1; gold at the end, no answer "
                      "taken: 1; undecided: 1")));
}

TEST_F(ScoringCli, AFileThatCannotBeScoredIsOneLineThatSaysWhy) {
  const auto expect = [&](const std::string& text, const std::string& message) {
    const auto result = run_program(score(file("x.jsonl", text)));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(message)) << text;
    EXPECT_EQ(result.out, "");
  };
  expect("", "there are no completions in it");
  expect("[1]\n", "x.jsonl:1: no JSON object");
  expect("{\"completion\": \"1\"}\n", "no \"id\"");
  expect("{\"id\": 1}\n", "no \"completion\"");
  expect("{\"id\": 1, \"completion\": [2]}\n", "a completion is no text");
  expect("{\"id\": 1, \"completion\": \"2\", \"finish_reason\": \"tired\"}\n", "neither stop nor");
  expect("{\"id\": \"arithmetic-000\", \"completion\": \"2\"}\n",
         "no completion of question arithmetic-001");
  expect(
      "{\"id\": \"a\", \"completion\": \"2\"}\n{\"id\": \"b\", \"completion\": [\"2\", \"3\"]}\n",
      "question a has 1 completions, question b has 2");
  EXPECT_THAT(run_program("score").err, HasSubstr("name a run's folder, or --tasks"));
}

TEST_F(ScoringCli, EqualSaysWhatDecidedAndHowBothWereRead) {
  const auto same = run_program("equal '\\frac{1}{2}' 0.5");
  EXPECT_EQ(same.exit_code, 0);
  EXPECT_THAT(same.out, AllOf(HasSubstr("correct  by number"), HasSubstr("gold    (1/2)"),
                              HasSubstr("answer  05/10")));
  EXPECT_EQ(run_program("equal 1 2").exit_code, 1);
  EXPECT_EQ(run_program("equal 1").exit_code, 2);
  const std::string pairs = file("pairs.jsonl",
                                 R"({"gold": "x^2-1", "pred": "(x-1) (x+1) ", "label": 1}
{"gold": "2", "pred": "\\boxed{3}", "label": 1}
)");
  const auto result = run_program("equal --pairs " + pairs);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("pairs.jsonl:2  incorrect by number, label equal"),
                                HasSubstr("2 pairs: 1 agree (50.00 %), 0 false correct, 1 false "
                                          "incorrect, 0 unscored")));
  EXPECT_EQ(run_program("equal --pairs " + file("bad.jsonl", "{}\n")).exit_code, 2);
}

TEST_F(ScoringCli, CodeforcesGetsARatingWhereTheProblemsRatingsAreAtHand) {
  ASSAY_NEED_DATA("codeforces/metadata_cf.json");
  for (const char* folder : {"code_tests", "codeforces"}) {
    ASSERT_TRUE(create_directories(folder_ / folder).ok());
  }
  for (const char* name : {"code_tests/codeforces_408.json.gz", "codeforces/metadata_cf.json",
                           "codeforces/ratings_2024.json"}) {
    std::filesystem::create_symlink(testing::data_dir() + "/" + name, folder_ / name);
  }
  // The form of the public interface's answer; 1971B has no rating there.
  file("codeforces/problemset.json",
       R"({"status": "OK", "result": {"problems": [)"
       R"({"contestId": 1971, "index": "A", "rating": 800}, {"contestId": 1971, "index": "B"}, )"
       R"({"contestId": 1971, "index": "C", "rating": 1000}]}})");
  std::string rows;
  for (const char* id : {"1971A", "1971B", "1971C"}) {
    const std::string code =
        "for _ in range(int(input())):\\n    print(*sorted(map(int, input().split())))";
    rows += fmt::format("{{\"id\": \"{}\", \"completion\": \"```python\\n{}\\n```\"}}\n", id, code);
  }
  const auto result =
      run_program("score --tasks codeforces --limit 3 --data " + folder_.path() +
                  " --completions " + file("programs.jsonl", rows) + " -o " + (folder_ / "run"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // One of two solved: halfway between them; 20.9 % of the people are below 900, 21.1 % at most.
  EXPECT_THAT(
      result.out,
      ContainsRegex("codeforces: rating 900.00 \\[.*above (20.9|21.0|21.1) % of the people"));
  EXPECT_THAT(result.out, HasSubstr("(of 2 of 3 samples)"));
}

TEST(SuitesCli, ShowsOneSuiteWhole) {
  const auto result = run_program("suites gpqa_diamond");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("gpqa_diamond (GPQA Diamond, version"), HasSubstr("rows      198"),
                    HasSubstr("options   in an order by a hash of question and sample"),
                    HasSubstr("scorer    choice/2"), HasSubstr("R1-Distill-Qwen-32B pass@1 62.1"),
                    HasSubstr("Answer the following multiple choice question")));
  EXPECT_EQ(run_program("suites gqa").exit_code, 2);
}

TEST(SuitesCli, AllNamesTheSuitesWhoseDataAreMissing) {
  const testing::TemporaryFolder folder;
  const auto result =
      run_program("run --model builtin --tasks all --dry-run --data " + folder.path());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("math500 (math500/test.jsonl)"),
                                HasSubstr("take those that are there: --tasks arithmetic")));
}

TEST(SuitesCli, WhatIsNotSampledSaysWhatComputesIt) {
  const auto result = run_program("run --model builtin --tasks arena_elo");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("run `assay rate BATTLES.jsonl"));
}

TEST_F(ScoringCli, AJudgeThatCannotJudgeIsAnErrorBeforeAnythingIsSampled) {
  const std::string run = " --model builtin --limit 1 --max-tokens 4 -o " + (folder_ / "judged");
  const auto unjudged = run_program("run --tasks arithmetic --judge builtin" + run);
  EXPECT_EQ(unjudged.exit_code, 2);
  EXPECT_THAT(unjudged.err, HasSubstr("none of the suites is judged"));
  const auto missing = run_program("run --tasks hle --judge nobody --data " +
                                   testing::tests_path("../datasets/samples") + run);
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("--judge nobody: there is no such file or folder"));
  EXPECT_FALSE(is_directory(folder_ / "judged"));
}

TEST_F(ScoringCli, TheSandboxsLimitsAreChecked) {
  const std::string program = file("p.py", "print(1)");
  for (const char* limit : {"--cpu-s 0", "--wall-s nan", "--wall-s 0"}) {
    const auto result = run_program("sandbox run " + program + " " + limit + " </dev/null");
    EXPECT_EQ(result.exit_code, 2) << limit;
    EXPECT_THAT(result.err, HasSubstr("must be")) << limit;
  }
}

TEST_F(ScoringCli, BattlesBecomeRatings) {
  std::string rows;
  for (int i = 0; i < 40; ++i) {
    rows += std::string(R"({"model_a": "x", "model_b": "y", "winner": ")") +
            (i % 4 == 0   ? "model_b"
             : i % 4 == 1 ? "tie"
                          : "model_a") +
            "\"}\n";
  }
  const std::string path = file("battles.jsonl", rows);
  const auto result = run_program("rate " + path + " --reference y=1000 --bootstrap 50");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // Odds of 62.5 to 37.5.
  EXPECT_THAT(result.out, AllOf(HasSubstr("x      1088.7"), HasSubstr("y      1000.0")));
  EXPECT_THAT(run_program("rate " + path + " --json").out, HasSubstr("\"unbounded\": false"));
  EXPECT_THAT(run_program("rate " + path + " --reference z").err, HasSubstr("fights no battle"));
  EXPECT_THAT(run_program("rate " + path + " --reference y=high").err, HasSubstr("MODEL=RATING"));
  EXPECT_THAT(run_program("rate " + file("bad.jsonl", R"({"model_a": "x"})")).err,
              HasSubstr("bad.jsonl:1: key \"model_b\" is missing"));
  EXPECT_THAT(run_program("rate " +
                          file("w.jsonl", R"({"model_a": "x", "model_b": "y", "winner": "both"})"))
                  .err,
              HasSubstr("model_a, model_b or tie"));
}

}  // namespace
}  // namespace assay
