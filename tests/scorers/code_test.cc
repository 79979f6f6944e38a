// Verdicts on programs: the official checkers', and what the suites' tests are.
#include "scorers/code/code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "datasets/dataset.h"
#include "datasets/livecodebench.h"
#include "harness/base/file.h"
#include "scorers/code/extract.h"
#include "scorers/code/sandbox.h"
#include "suites/suite.h"
#include "tests/scorers/sandbox_fixture.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

Verdict score(const char* scorer_name, const Item& item, const std::string& text) {
  const auto scorer = make_scorer(scorer_name);
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = text;
  return (*scorer)->score(item, completion);
}

// Every reference solution passes; with another result than it computes every one fails.
TEST(Code, HumanEvalsSolutionsPassAndBrokenOnesFail) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/HumanEval.jsonl.gz");
  int passed = 0, failed = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    Item item;
    for (const char* field : {"prompt", "test", "entry_point"}) item.fields[field] = row[field];
    const std::string solution = row["canonical_solution"].get<std::string>();
    const std::string entry = row["entry_point"].get<std::string>();
    const Verdict right = score("humaneval", item, solution);
    EXPECT_EQ(right.correctness, Correctness::kCorrect)
        << row["task_id"] << " " << right.rule << " " << right.detail;
    const std::string broken = solution + "\n\n_right = " + entry + "\ndef " + entry +
                               "(*args):\n    return ('broken', _right(*args))\n";
    const Verdict wrong =
        score("humaneval", item, "```python\n" + row["prompt"].get<std::string>() + broken + "```");
    EXPECT_EQ(wrong.correctness, Correctness::kIncorrect) << row["task_id"] << " " << wrong.rule;
    passed += right.correctness == Correctness::kCorrect ? 1 : 0;
    failed += wrong.correctness == Correctness::kIncorrect ? 1 : 0;
  }
  EXPECT_EQ(passed, 164);
  EXPECT_EQ(failed, 164);
}

TEST(Code, HumanEvalPlussSolutionsPass) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/HumanEvalPlus.jsonl.gz");
  if (!testing::kOptimized) GTEST_SKIP() << "takes minutes under sanitizers";
  const testing::TemporaryFolder folder;
  std::string rows;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    rows +=
        Json{{"task_id", row["task_id"]}, {"completion", row["canonical_solution"]}}.dump() + "\n";
  }
  ASSERT_OK(write_file_atomically(folder / "c.jsonl", rows));
  const auto result =
      testing::run_program("score --tasks humaneval_plus --data " + testing::data_dir() +
                               " --completions " + (folder / "c.jsonl") + " -o " + (folder / "run"),
                           "XDG_CACHE_HOME=" + folder.path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("humaneval_plus +164 +1 +100.0"));
  EXPECT_EQ(result.out.find("could not be scored"), std::string::npos) << result.out;
}

// Solutions with one operator or constant changed, and tricks, with the verdict of
// openai/human-eval. Where ours is another one it is stricter, or the case says why.
TEST(Code, VariantsAreJudgedAsTheOfficialCheckerDoes) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/HumanEval.jsonl.gz");
  std::map<std::string, Item> items;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    Item& item = items[row["task_id"].get<std::string>()];
    for (const char* field : {"prompt", "test", "entry_point"}) item.fields[field] = row[field];
  }
  std::map<std::pair<std::string, std::string>, std::string> listed;
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/humaneval_differences.jsonl"))) {
    listed[{row["task_id"].get<std::string>(), row["completion"].get<std::string>()}] =
        row["verdict"].get<std::string>();
  }
  const auto rows = testing::load_jsonl(testing::tests_path("cases/humaneval_variants.jsonl"));
  ASSERT_GE(rows.size(), 1000u);
  std::atomic<size_t> next{testing::kOptimized ? size_t{1} : rows.size() * 9 / 10};
  std::atomic<int> count{0}, different{0};
  const auto work = [&] {
    for (size_t i = next++; i < rows.size(); i = next++) {
      const Json& row = rows[i];
      const std::string task = row["task_id"].get<std::string>();
      const std::string completion = row["completion"].get<std::string>();
      const Verdict verdict = score("humaneval", items.at(task), completion);
      ++count;
      const std::string official = row["passed"].get<bool>() ? "correct" : "incorrect";
      const auto difference = listed.find({task, completion});
      different += difference != listed.end() ? 1 : 0;
      EXPECT_EQ(to_string(verdict.correctness),
                difference != listed.end() ? difference->second : official)
          << verdict.rule << " " << verdict.detail << " " << row;
    }
  };
  std::thread other(work);
  work();
  other.join();
  std::printf("%d variants, %d judged otherwise\n", count.load(), different.load());
}

// openai/human-eval says 0.5 of its example samples.
// The same variants with EvalPlus's inputs: a part of them, and all that differ.
TEST(Code, VariantsAreJudgedAsEvalPlusDoes) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/HumanEvalPlus.jsonl.gz");
  DataSpec spec = find_suite("humaneval_plus")->data.front();
  const auto dataset = load_dataset(spec, testing::data_dir());
  ASSERT_OK(dataset);
  std::map<std::string, const Item*> items;
  for (const Item& item : dataset->items) items[item.id] = &item;
  std::map<size_t, std::string> listed;
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/evalplus_differences.jsonl"))) {
    listed[row["row"].get<size_t>()] = row["verdict"].get<std::string>();
  }
  const auto rows = testing::load_jsonl(testing::tests_path("cases/humaneval_variants.jsonl"));
  const auto official = testing::load_jsonl(testing::tests_path("cases/evalplus_variants.jsonl"));
  ASSERT_EQ(rows.size(), official.size());
  const size_t stride = testing::kOptimized ? 12 : 200;
  std::atomic<size_t> next{1};
  std::atomic<int> count{0}, different{0};
  const auto work = [&] {
    for (size_t i = next++; i < rows.size(); i = next++) {
      const auto difference = listed.find(i);
      if (i % stride != 0 && (difference == listed.end() || !testing::kOptimized)) continue;
      const std::string task = rows[i]["task_id"].get<std::string>();
      ASSERT_EQ(official[i]["task_id"], task);
      const bool passed = official[i]["base"] == "pass" && official[i]["plus"] == "pass";
      const Verdict verdict =
          score("humaneval_plus", *items.at(task), rows[i]["completion"].get<std::string>());
      ++count;
      different += difference != listed.end() ? 1 : 0;
      EXPECT_EQ(to_string(verdict.correctness), difference != listed.end() ? difference->second
                                                : passed                   ? "correct"
                                                                           : "incorrect")
          << verdict.rule << " " << verdict.detail << " row " << i;
    }
  };
  std::thread other(work);
  work();
  other.join();
  std::printf("%d variants, %d judged otherwise\n", count.load(), different.load());
}

TEST(Code, HumanEvalsExampleSamplesGiveAHalf) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/example_samples.jsonl");
  const Json problem =
      testing::load_jsonl(testing::data_dir() + "/humaneval/example_problem.jsonl")[0];
  Item item;
  for (const char* field : {"prompt", "test", "entry_point"}) item.fields[field] = problem[field];
  int correct = 0, count = 0;
  for (const Json& row : testing::load_jsonl(data_path)) {
    ++count;
    const Verdict verdict = score("humaneval", item, row["completion"].get<std::string>());
    correct += verdict.correctness == Correctness::kCorrect ? 1 : 0;
  }
  EXPECT_EQ(count, 6);
  EXPECT_EQ(correct, 3);
}

TEST(Code, IsTakenFromTheLastBlockThatDefinesTheFunction) {
  const std::string prompt = "import math\n\ndef f(x):\n    \"\"\"doc\"\"\"\n";
  const auto program = [&](const char* text) { return humaneval_program(prompt, "f", text); };
  EXPECT_EQ(program("    return 1\n"), prompt + "    return 1\n");
  EXPECT_EQ(program("A:\n```python\ndef f(x):\n    return 1\n```\nB:\n```\nf(3)\n```\n"),
            "import math\n\n\ndef f(x):\n    return 1\n");
  EXPECT_EQ(program("```py\ndef f(x):\n    return 2\nif __name__ == '__main__':\n    f(1)\n```"),
            "import math\n\n\ndef f(x):\n    return 2\n");
  EXPECT_EQ(program("```python\ndef f(x):\n    return 3"),
            "import math\n\n\ndef f(x):\n    return 3\n");
  EXPECT_EQ(program("```bash\ndef f(x)\n```\n```python\n    return 4\n```"),
            prompt + "    return 4\n");
  EXPECT_EQ(last_code_block("~~~~python\na\n~~~\nb\n~~~~\n", "python"), "a\n~~~\nb\n");
  EXPECT_EQ(last_code_block("no code", "python"), "");
}

TEST(Code, CppProgramsAreCompiledInTheJailAndJudgedByTheirOutput) {
  ASSAY_NEED_SANDBOX();
  Item item;
  item.fields["tests"] =
      R"([{"input": "2 3\n", "output": "5"}, {"input": "-1 1\n", "output": "0\n"}])";
  const std::string head =
      "#include <iostream>\n#include <unistd.h>\n#include <sys/ptrace.h>\n"
      "#include <sys/socket.h>\nint main() {\n  long a, b;\n  std::cin >> a >> b;\n";
  for (const auto& [body, rule] : std::vector<std::pair<std::string, std::string>>{
           {"std::cout << a + b << std::endl;", "passed"},
           {"std::cout << a - b;", "wrong"},
           {"std::cout << c;", "compile"},
           {"for (;;) asm volatile(\"\");", "cpu"},
           {"return 3;", "exception"},
           {"__builtin_trap();", "crash"},
           {"ptrace(PTRACE_TRACEME);", "forbidden"},
           {"std::cout << (socket(AF_INET, SOCK_STREAM, 0) < 0 ? a + b : -1);", "passed"},
           {"std::cout << (access(\"/proc\", F_OK) && access(\"/root\", F_OK) ? a + b : -1);",
            "passed"}}) {
    const Verdict verdict =
        score("code_tests", item, "So:\n```cpp\n" + head + "  " + body + "\n}\n```\n");
    EXPECT_EQ(verdict.rule, rule) << body << " " << verdict.detail;
  }
  EXPECT_EQ(score("code_tests", item,
                  "```cpp\nint main(){}\n```\n```python\nprint(sum(map(int, "
                  "input().split())))\n```")
                .rule,
            "passed");
}

// The same verdict, with the share of the tests that passed beside it.
TEST(Code, AllTestsAreRunWhereThatIsAskedFor) {
  ASSAY_NEED_SANDBOX();
  const auto expect = [](const Item& item, const std::string& program, double share) {
    const std::string text = "```python\n" + program + "\n```";
    const Verdict first = score("code_tests", item, text);
    const Verdict all = score("code_tests:all_tests", item, text);
    EXPECT_EQ(all.rule, first.rule) << program;
    EXPECT_EQ(all.correctness, first.correctness) << program;
    EXPECT_FALSE(first.values.contains("tests_passed"));
    ASSERT_TRUE(all.values.contains("tests_passed")) << program << all.detail;
    EXPECT_DOUBLE_EQ(all.values.at("tests_passed"), share) << program << all.detail;
    EXPECT_THAT(all.detail, ::testing::StartsWith(first.detail));
  };
  Item inputs;
  inputs.fields["tests"] =
      R"([{"input": "1", "output": "2"}, {"input": "2", "output": "4"}, {"input": "3", "output": "9"}])";
  expect(inputs, "print(2 * int(input()))", 2.0 / 3);
  expect(inputs, "n = int(input())\nassert n != 1\nprint(n * n)", 2.0 / 3);
  expect(inputs, "print({1: 2, 2: 4, 3: 9}[int(input())])", 1);
  expect(inputs, "raise SystemExit(3)", 0);
  Item calls;
  calls.fields["tests"] =
      R"({"fn_name": "twice", "inputs": [[1], [2], [3], [4]], "outputs": [2, 4, 6, 8]})";
  const std::string head = "class Solution:\n  def twice(self, n):\n";
  expect(calls, head + "    return 2 * n", 1);
  expect(calls, head + "    return 2 * n if n != 2 else 5", 0.75);
  expect(calls, head + "    if n == 1: raise ValueError\n    return 2 * n", 0.75);
  expect(calls, head + "    if n == 1: import os; os._exit(0)\n    return 2 * n", 0.75);
  expect(calls, "class Other: pass", 0);
}

TEST(Code, OutputsAreComparedAsLiveCodeBenchDoes) {
  EXPECT_TRUE(same_output("1 2\n3\n", " 1 2 \n3"));
  EXPECT_TRUE(same_output("1.50", "1.5"));
  EXPECT_TRUE(same_output("007", "7"));
  EXPECT_TRUE(same_output("a  b", "a b"));
  EXPECT_FALSE(same_output("1.5000001", "1.5"));
  EXPECT_FALSE(same_output("1\n2", "1 2"));
  EXPECT_FALSE(same_output("Yes", "YES"));
  EXPECT_FALSE(same_output("", "0"));
  EXPECT_TRUE(same_output("", "\n"));
}

TEST(LiveCodeBench, APickleIsReadOnlyIfItIsOneText) {
  using namespace std::string_literals;
  const auto read = [](const std::string& bytes) {
    const auto text = pickled_text(bytes, "p");
    return text.ok() ? *text : "error";
  };
  EXPECT_EQ(read("\x80\x04\x95\x06\0\0\0\0\0\0\0\x8c\x02[]\x94."s), "[]");
  EXPECT_EQ(read("\x80\x02X\x02\0\0\0[]q\0."s), "[]");
  EXPECT_EQ(read("\x80\x04\x8d\x02\0\0\0\0\0\0\0[]."s), "[]");
  EXPECT_EQ(read("cos\nsystem\n(S'id'\ntR."s), "error");
  EXPECT_EQ(read("\x80\x04\x8c\xFF[]."s), "error");
  EXPECT_EQ(read("\x80\x04X\xFF\xFF\xFF\xFF[]."s), "error");
  EXPECT_EQ(read("\x80\x04."s), "error");
  EXPECT_EQ(read("\x80"s), "error");
  EXPECT_EQ(read(""s), "error");
}

}  // namespace
}  // namespace assay
