#include "scorers/judge/judgment.h"

#include <gtest/gtest.h>

#include "scorers/hle/hle.h"
#include "tests/support.h"

namespace assay {
namespace {

TEST(Judgment, IsReadFromEveryCase) {
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/judgments.jsonl"))) {
    const std::string text = row["text"].get<std::string>(), kind = row["kind"].get<std::string>();
    Json found;
    if (kind == "preference") {
      if (const auto read = parse_preference(text)) found = *read;
    } else if (kind == "rating") {
      if (const auto read = parse_rating(text)) found = *read;
    } else if (const auto read = parse_correctness(text)) {
      found = {read->correct, read->confidence ? Json(*read->confidence) : Json()};
    }
    EXPECT_EQ(found, row["read"]) << row;
  }
}

TEST(Judgment, OfBothOrdersIsOneVerdict) {
  Verdict verdict = pairwise_verdict({2, -1});
  EXPECT_EQ(verdict.values.at("won"), 3);
  EXPECT_EQ(verdict.values.at("games"), 4);
  EXPECT_EQ(verdict.correctness, Correctness::kCorrect);
  EXPECT_EQ(verdict.answer, "+2 -1");
  verdict = pairwise_verdict({0, 0});
  EXPECT_EQ(verdict.values.at("won"), 1);
  EXPECT_EQ(verdict.correctness, Correctness::kIncorrect);
  EXPECT_EQ(rating_verdict({7, 8}).values.at("rating"), 7.5);
  EXPECT_EQ(correctness_verdict({{true, 0.8}, {false, 0.4}}).correctness, Correctness::kUnscored);
  EXPECT_EQ(correctness_verdict({{true, 0.8}}).values.at("confidence"), 0.8);
}

TEST(Judgment, StyleIsMarkdownOutsideCode) {
  const Style style = style_of("# Title\n\n- a\n- **b**\n1. c\n```\n# no header\n* no item\n```\n");
  EXPECT_EQ(style.headers, 1);
  EXPECT_EQ(style.list_items, 3);
  EXPECT_EQ(style.bold, 1);
}

TEST(Hle, DecidesWhatNeedsNoJudge) {
  const HleScorer scorer;
  const auto score = [&](const char* kind, const char* gold, const char* text) {
    Item item;
    item.gold = gold;
    item.fields["answer_type"] = kind;
    Completion completion;
    completion.finish_reason = FinishReason::kStop;
    completion.text = text;
    return scorer.score(item, completion);
  };
  Verdict verdict =
      score("exactMatch", "1/2", "Explanation: …\nExact Answer: 0.5\nConfidence: 85%");
  EXPECT_EQ(verdict.correctness, Correctness::kCorrect);
  EXPECT_EQ(verdict.values.at("confidence"), 0.85);
  verdict = score("exactMatch", "nitrogen", "Exact Answer: azote\nConfidence: 250 %");
  EXPECT_EQ(verdict.rule, "not_judged");
  EXPECT_EQ(verdict.values.at("confidence"), 1);
  EXPECT_EQ(score("multipleChoice", "B", "Answer: B").correctness, Correctness::kCorrect);
  EXPECT_EQ(score("multipleChoice", "B", "Answer: C").correctness, Correctness::kIncorrect);
  EXPECT_EQ(score("exactMatch", "x", "nothing").rule, "not_judged");
}

}  // namespace
}  // namespace assay
