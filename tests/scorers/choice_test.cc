#include "scorers/choice/choice.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support.h"

namespace assay {
namespace {

TEST(Choice, IsTakenFromEveryCase) {
  const auto rows = testing::load_jsonl(testing::tests_path("cases/choice.jsonl"));
  ASSERT_GT(rows.size(), 15u);
  for (const Json& row : rows) {
    const auto choice = extract_choice(row["text"].get<std::string>());
    const std::string found = choice ? std::string(1, choice->letter) : "";
    EXPECT_EQ(found, row["letter"].get<std::string>()) << row["text"];
  }
}

// Real outputs of two models with the letter that the official script takes; where we take another
// one it is listed, with the reason.
TEST(Choice, TakesTheLettersOfMmluProsOfficialScriptButForTheDifferencesThatAreListed) {
  ASSAY_NEED_DATA("mmlu_pro/outputs_dev.jsonl.gz");
  std::map<int, std::string> listed;
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/mmlu_pro_differences.jsonl"))) {
    listed[row["line"]] = row["letter"];
  }
  int line = 0, same = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    ++line;
    const auto choice = extract_choice(row["output"].get<std::string>());
    const std::string found = choice ? std::string(1, choice->letter) : "";
    const std::string official = row["pred"].is_null() ? "" : row["pred"].get<std::string>();
    same += found == official ? 1 : 0;
    const std::string expected = listed.contains(line) ? listed[line] : official;
    EXPECT_EQ(found, expected) << "line " << line << ", official \"" << official << "\"";
  }
  std::printf("%d of %d as the official script\n", same, line);
}

TEST(ChoiceScorer, ComparesWithTheGoldAndSaysWhatDecided) {
  const ChoiceScorer scorer;
  Item item;
  item.gold = "C";
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = "<think>A? The answer is (A).</think>So the answer is (C).";
  Verdict verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kCorrect);
  EXPECT_EQ(verdict.rule, "answer is");
  completion.text = "I do not know.";
  completion.text = "nobody knows";
  verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kIncorrect);
  EXPECT_FALSE(verdict.has_answer);
  completion.finish_reason = FinishReason::kLength;
  EXPECT_EQ(scorer.score(item, completion).rule, "truncated");
}

}  // namespace
}  // namespace assay
