#include "scorers/boxed/boxed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "scorers/boxed/equal.h"
#include "tests/support.h"

namespace assay {
namespace {

TEST(BoxedScorer, JudgesEveryCase) {
  const BoxedScorer scorer;
  const auto rows = testing::load_jsonl(testing::tests_path("cases/boxed.jsonl"));
  ASSERT_GT(rows.size(), 40u);
  for (const Json& row : rows) {
    Item item;
    item.gold = row["gold"];
    Completion completion;
    completion.text = row["text"];
    completion.opens_thought = row.value("opens_thought", false);
    ASSERT_TRUE(from_string(row.value("finish_reason", "stop"), &completion.finish_reason));
    const Verdict verdict = scorer.score(item, completion);
    const std::string name = row["name"];
    EXPECT_EQ(to_string(verdict.correctness), row["verdict"].get<std::string>()) << name;
    EXPECT_EQ(verdict.rule, row["rule"].get<std::string>()) << name;
    EXPECT_EQ(verdict.has_answer, !row["answer"].is_null()) << name;
    if (verdict.has_answer) {
      EXPECT_EQ(verdict.answer, row["answer"].get<std::string>()) << name;
    }
  }
}

// Without algebra many equal answers stay unequal, but a wrong one must never pass.
TEST(CompareAnswers, NeverCallsARecordedDifferenceEqual) {
  ASSAY_NEED_DATA("math_equivalence/pairs.jsonl");
  int equal_pairs = 0, found = 0, different = 0;
  for (const Json& row : testing::load_jsonl(data_path)) {
    const auto gold = row["gold"].get<std::string>(), pred = row["pred"].get<std::string>();
    const std::string answer = last_boxed(pred).value_or(pred);
    const bool equal = compare_answers(last_boxed(gold).value_or(gold), answer).equal;
    if (row["label"] == 1) {
      ++equal_pairs;
      found += equal;
    } else {
      ++different;
      EXPECT_FALSE(equal) << gold << " | " << pred;
    }
  }
  std::printf("equal pairs found: %d of %d; of %d different pairs none passed\n", found,
              equal_pairs, different);
  EXPECT_GT(different, 300);
}

TEST(CompareAnswers, IsSymmetricAndReflexiveOnTheGoldAnswersOfMath500) {
  ASSAY_NEED_DATA("math500/test.jsonl");
  std::vector<std::string> golds;
  for (const Json& row : testing::load_jsonl(data_path)) golds.push_back(row["answer"]);
  for (size_t i = 0; i < golds.size(); ++i) {
    EXPECT_TRUE(compare_answers(golds[i], golds[i]).equal) << golds[i];
    const std::string& other = golds[(i * 7 + 1) % golds.size()];
    EXPECT_EQ(compare_answers(golds[i], other).equal, compare_answers(other, golds[i]).equal);
  }
}

TEST(LastBoxed, HostileTextsTakeLinearTime) {
  std::string open, nested;
  for (int i = 0; i < 200'000; ++i) {
    open += "\\boxed{";
    nested += "\\boxed{x";
  }
  EXPECT_FALSE(last_boxed(open).has_value());
  nested += std::string(200'000, '}');
  EXPECT_EQ(last_boxed(nested), "x");
  EXPECT_TRUE(compare_answers("1", std::string(2'000'000, '{')).equal == false);
}

}  // namespace
}  // namespace assay
