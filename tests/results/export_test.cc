// Runs in the forms that other programs read.
#include <gmock/gmock.h>

#include <fstream>

#include "harness/base/text.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class Export : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream file(folder_ / "given | \"x\".jsonl");
    file << R"({"id": "arithmetic-000", "completion": ["\\boxed{436}", "\\boxed{=1+1,\"a\"}"]})"
         << "\n";
    file << R"({"id": "arithmetic-001", "completion": ["\\boxed{26}", "no\nbox"]})"
         << "\n";
    file.close();
    const auto scored =
        testing::run_program("score --tasks arithmetic --limit 2 --completions '" +
                             (folder_ / "given | \"x\".jsonl") + "' -o " + (folder_ / "r"));
    ASSERT_EQ(scored.exit_code, 0) << scored.err;
  }
  std::string exported(const std::string& format) {
    const auto result = testing::run_program("export " + (folder_ / "r") + " --format " + format);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Export, CsvQuotesAndDefusesWhatSpreadsheetsWouldRun) {
  const std::string csv = exported("csv");
  const std::vector<std::string> lines = split(csv, '\n');
  EXPECT_EQ(lines[0],
            "suite,item_id,sample_index,verdict,answer,gold,completion_tokens,thought_tokens,"
            "finish_reason,rule,scorer\r");
  EXPECT_THAT(lines[1], HasSubstr("arithmetic,arithmetic-000,0,correct,436,436,"));
  EXPECT_THAT(csv, HasSubstr("\"'=1+1,\"\"a\"\"\""));
  EXPECT_EQ(lines.size(), 6u);  // and what follows the last line's end
}

TEST_F(Export, MarkdownIsATableForAModelCard) {
  const std::string table = exported("markdown");
  EXPECT_THAT(table, ContainsRegex("\\| arithmetic \\| pass@1 \\| 2 \\| 2 \\| 50.0 \\|"));
  EXPECT_THAT(table, HasSubstr("given \\| \"x\".jsonl"));
}

TEST_F(Export, OpenMetricsHasTypedFamiliesAndAnEnd) {
  const std::string text = exported("openmetrics");
  EXPECT_THAT(text, HasSubstr("# TYPE assay_pass_at_1_ratio gauge\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "assay_pass_at_1_ratio{model=\"given | \\\"x\\\".jsonl\",suite=\"arithmetic\"} 0.5\n"));
  EXPECT_TRUE(text.ends_with("# EOF\n"));
}

TEST_F(Export, JsonLinesHaveASampleEach) {
  const std::vector<std::string> lines = split(exported("jsonl"), '\n');
  EXPECT_EQ(lines.size(), 5u);
  EXPECT_EQ(Json::parse(lines[3])["text"], "no\nbox");
  EXPECT_EQ(testing::run_program("export " + (folder_ / "r") + " --format xml").exit_code, 2);
}

}  // namespace
}  // namespace assay
