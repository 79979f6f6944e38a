#include "scorers/bbh/bbh.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support.h"

namespace assay {
namespace {

// 810 outputs of code-davinci-002 with what BBH's own extraction takes from them. Where it takes
// nothing we may find something; nowhere another answer.
TEST(Bbh, TakesAndJudgesWhatTheOfficialExtractionDoes) {
  ASSAY_NEED_DATA("bbh/outputs_dev.jsonl.gz");
  int count = 0, same = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    ++count;
    const auto statement = bbh_statement(row["output"].get<std::string>());
    const std::string target = row["target"].get<std::string>();
    const std::string official = row["pred"].is_null() ? "" : row["pred"].get<std::string>();
    const bool ours = statement && bbh_equal(target, *statement);
    same += statement.value_or("") == official ? 1 : 0;
    EXPECT_EQ(ours, official == target)
        << row["task"] << " " << row["index"] << ": \"" << statement.value_or("")
        << "\", official \"" << official << "\", target " << target;
  }
  EXPECT_EQ(count, 810);
  EXPECT_GE(same, 806);
  std::printf("%d of %d as the official extraction\n", same, count);
}

TEST(Bbh, IsJudgedAsEveryCaseSays) {
  const auto rows = testing::load_jsonl(testing::tests_path("cases/bbh.jsonl"));
  ASSERT_GT(rows.size(), 25u);
  const BbhScorer scorer;
  for (const Json& row : rows) {
    Item item;
    item.gold = row["gold"].get<std::string>();
    Completion completion;
    completion.finish_reason = FinishReason::kStop;
    completion.text = row["text"].get<std::string>();
    EXPECT_EQ(to_string(scorer.score(item, completion).correctness),
              row["verdict"].get<std::string>())
        << row;
  }
}

}  // namespace
}  // namespace assay
