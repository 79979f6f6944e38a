#include "scorers/boxed/boxed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "harness/base/boxed.h"
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

TEST(LastBoxed, HostileTextsTakeLinearTime) {
  std::string open, nested;
  for (int i = 0; i < 200'000; ++i) {
    open += "\\boxed{";
    nested += "\\boxed{x";
  }
  EXPECT_FALSE(last_boxed(open).has_value());
  nested += std::string(200'000, '}');
  EXPECT_EQ(last_boxed(nested), "x");
}

}  // namespace
}  // namespace assay
