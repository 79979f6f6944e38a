// Samples of other programs become runs, and runs their files.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::run_program;

class Import : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    EXPECT_TRUE(write_file_atomically(folder_ / name, text).ok());
    return folder_ / name;
  }
  testing::ProgramResult import(const std::string& files, const std::string& flags = "") {
    ++count_;
    return run_program("import " + files + " --tasks arithmetic -o " + run() + " " + flags);
  }
  std::string run() const { return folder_ / ("imported" + std::to_string(count_)); }
  std::string exported(const std::string& run) { return run_program("export " + run).out; }
  // A run of the built-in model: 10 questions, 3 samples.
  void sample() {
    const auto result =
        run_program("run --model builtin --tasks arithmetic:3 --limit 10 --temperature 0.7 -o " +
                    (folder_ / "own"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (const std::string format : {"lm-eval", "inspect"}) {
      const auto files = run_program("export " + (folder_ / "own") + " --format " + format +
                                     " -o " + (folder_ / format));
      ASSERT_EQ(files.exit_code, 0) << files.err;
      files_[format] = split(files.out, '\n');
    }
  }
  testing::TemporaryFolder folder_;
  std::map<std::string, std::vector<std::string>> files_;
  int count_ = 0;
};

// The samples, with what importing cannot know: token ids.
std::vector<Json> rows_of(const std::string& jsonl) {
  std::vector<Json> rows;
  std::istringstream lines(jsonl);
  for (std::string line; std::getline(lines, line);) {
    rows.push_back(Json::parse(line));
    rows.back().erase("token_ids");
  }
  return rows;
}

TEST_F(Import, WhatLmEvalOrInspectGotFromHereComesBackWhole) {
  sample();
  const std::vector<Json> own = rows_of(exported(folder_ / "own"));
  ASSERT_EQ(own.size(), 30u);
  ASSERT_EQ(import(files_["lm-eval"][1]).exit_code, 0);
  EXPECT_EQ(rows_of(exported(run())), own);
  // And goes out as it came in, but for the date.
  const auto again = run_program("export " + run() + " --format lm-eval -o " + (folder_ / "again"));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(*read_file(split(again.out, '\n')[1]), *read_file(files_["lm-eval"][1]));
  ASSERT_EQ(import(files_["inspect"][0]).exit_code, 0);
  EXPECT_EQ(rows_of(exported(run())), own);
  EXPECT_THAT(run_program("report " + run()).out, HasSubstr("model builtin"));
}

TEST_F(Import, PeersReadTheExports) {
  ASSAY_NEED_PEERS();
  sample();
  const std::string command = "HF_HUB_OFFLINE=1 '" + testing::peers_python() + "' '" +
                              testing::tests_path("peers/read_exports.py") + "' " +
                              (folder_ / "lm-eval") + " " + (folder_ / "inspect") + " " +
                              (folder_ / "log.eval") + " > " + (folder_ / "seen") + " 2> " +
                              (folder_ / "log");
  ASSERT_EQ(std::system(command.c_str()), 0) << *read_file(folder_ / "log");
  const Json seen = testing::load_json(folder_ / "seen");
  const Json report = testing::load_json(folder_ / "own/results.json");
  const Json& scores = report["suites"][0];
  EXPECT_EQ(seen["task"], "arithmetic");
  EXPECT_EQ(seen["rows"], 10);
  EXPECT_NEAR(seen["pass@1"].get<double>(), scores["pass@1"].get<double>(), 1e-12);
  EXPECT_THAT(seen["table"].get<std::string>(),
              ContainsRegex("arithmetic.*pass@1.*" +
                            std::to_string(scores["pass@1"].get<double>()).substr(0, 5)));
  EXPECT_EQ(seen["responses"], Json(std::vector<int>(10, 3)));
  EXPECT_EQ(seen["inspect"]["samples"], 30);
  EXPECT_EQ(seen["inspect"]["epochs"], 3);
  EXPECT_NEAR(seen["inspect"]["correct"].get<double>() / 30, scores["pass@1"].get<double>(), 1e-12);
  EXPECT_EQ(seen["inspect"]["completion"], rows_of(exported(folder_ / "own"))[0]["text"]);
  // The zip that inspect writes of it, with Zstandard inside.
  ASSERT_EQ(import(folder_ / "log.eval").exit_code, 0);
  EXPECT_EQ(rows_of(exported(run())), rows_of(exported(folder_ / "own")));
}

TEST_F(Import, QuestionsAreFoundByTextWhateverTheirNumber) {
  // As lm-eval writes them: repeats, a row for each of two filters, questions in another order.
  std::string rows;
  for (const char* filter : {"strict", "flexible"}) {
    rows += std::string(R"({"doc_id": 0, "doc": {"q": "What is 62 + 7 - 43?"}, "target": "26",)") +
            R"("arguments": {"gen_args_0": {"arg_0": "x", "arg_1": {"temperature": 0.5}}},)" +
            R"("resps": [["\\boxed{26}", "\\boxed{1}"]], "filter": ")" + filter + "\"}\n";
    rows += std::string(R"({"doc_id": 1, "doc": {"q": "?"}, "target": "436",)") +
            R"("arguments": {"gen_args_0": {"arg_0": ["Q:  What is 513 - 77?  A:"]}},)" +
            R"("resps": [["\\boxed{436}", "\\boxed{436}"]], "filter": ")" + filter + "\"}\n";
    rows += std::string(R"({"doc_id": 2, "doc": {"q": "What is love?"}, "target": "",)") +
            R"("arguments": {}, "resps": [["a", "b"]], "filter": ")" + filter + "\"}\n";
  }
  const auto result = import(file("samples_x_2026.jsonl", rows));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("1 questions of the files are none of the suite's"),
                                HasSubstr("samples_x_2026.jsonl:3"),
                                HasSubstr("98 of the suite's 100 questions"),
                                HasSubstr("2 questions of lm-eval, 2 samples each")));
  EXPECT_THAT(result.out, ContainsRegex("arithmetic +2 +2 +75.0"));
}

TEST_F(Import, OtherFormatsAreKnownByWhatIsInThem) {
  const auto expect = [&](const std::string& name, const std::string& text,
                          const std::string& format, const std::string& score) {
    const auto result = import(file(name, text));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("1 questions of " + format)) << result.err;
    EXPECT_THAT(result.out, ContainsRegex("arithmetic +1 +" + score)) << format;
  };
  expect(
      "nemo.jsonl",
      R"({"problem": "What is 513 - 77?", "expected_answer": "436", "generation": "\\boxed{436}"})"
      "\n"
      R"({"problem": "What is 513 - 77?", "expected_answer": "436", "generation": "\\boxed{43}"})",
      "nemo-skills", "2 +50.0");
  expect("light.jsonl",
         R"({"example": "What is 513 - 77?", "full_prompt": "p", "predictions": ["\\boxed{436}"]})",
         "lighteval", "1 +100.0");
  expect("light2.jsonl",
         R"({"doc": {"query": "Solve: What is 513 - 77?", "id": "0"},)"
         R"( "model_response": {"text": ["\\boxed{436}", "\\boxed{1}"]}})",
         "lighteval", "2 +50.0");
  expect(
      "log.json",
      R"({"version": 2, "eval": {"model": "openai/x", "model_generate_config": {"top_p": 0.9}},)"
      R"("samples": [{"id": 1, "epoch": 1, "input": [{"role": "user", "content": [{"type":)"
      R"("text", "text": "What is 513 - 77?"}]}], "output": {"choices": [{"message": {"content":)"
      R"([{"type": "reasoning", "reasoning": "\\boxed{1}"}, {"type": "text",)"
      R"("text": "\\boxed{436}"}]}, "stop_reason": "stop"}]}}]})",
      "inspect", "1 +100.0");
  EXPECT_THAT(run_program("report " + run()).out, HasSubstr("model openai/x"));
}

TEST_F(Import, ProgramsAreImportedToo) {
  ASSAY_NEED_DATA("humaneval/HumanEval.jsonl.gz");
  const std::string evalplus =
      R"({"task_id": "HumanEval/2", "solution": "def truncate_number(n):\n    return n % 1.0\n"})"
      "\n"
      R"({"task_id": "HumanEval/3", "completion": "    return True\n"})";
  const auto result =
      run_program("import " + file("samples.jsonl", evalplus) + " --tasks humaneval --data " +
                  testing::data_dir() + " -o " + (folder_ / "programs"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("humaneval +2 +1 +50.0"));
}

TEST_F(Import, WhatIsNoFileOfThemIsAnErrorThatSaysSo) {
  const auto expect = [&](const std::string& files, const std::string& message) {
    const auto result = import(files);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect(file("a.jsonl", "{\"x\": 1}\n"), "a.jsonl:1: is none of lm-eval's samples");
  expect(file("b.jsonl", "[1"), "b.jsonl:1");
  expect(file("c.json", R"({"eval": {}, "samples": {"a": 1}})"), "is none of");
  expect(file("d.json", R"({"eval": {}, "samples": [3]})"), "is no sample of inspect");
  expect(file("e.eval", "PK not a zip"), "cannot be read as a zip archive");
  expect(file("f.jsonl", R"({"doc": 3, "resps": 4})"), "holds no samples");
  expect(folder_ / "missing.jsonl", "missing.jsonl");
  const std::string lm = R"({"doc": {"q": "What is 513 - 77?"}, "resps": ["1"]})";
  expect(file("g.jsonl", lm + "\n" + R"({"generation": "1", "problem": "x"})"),
         "is of nemo-skills, what came before of lm-eval");
  expect(file("h.jsonl", R"({"doc": {"q": "What is it?"}, "resps": ["1"]})"),
         "none of its 1 questions is one of arithmetic");
}

}  // namespace
}  // namespace assay
