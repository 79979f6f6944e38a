#include "results/store.h"

#include <gmock/gmock.h>

#include "harness/base/file.h"
#include "results/sqlite.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

SampleRecord record(const std::string& item, int index) {
  SampleRecord r;
  r.completion.id = {"s", item, index};
  r.completion.token_ids = {1, -2, 300000, index};
  r.completion.text = "text with \"quotes\", é and \n" + std::string(1, '\0') + "a zero byte";
  r.completion.finish_reason = FinishReason::kStop;
  r.completion.prompt_tokens = 17;
  r.completion.opens_thought = true;
  r.completion.logprob = -0.1 - index;
  r.verdict = {Correctness::kCorrect, true, "", "number", "", {{"points", 0.5}}};
  r.scorer = "boxed/1";
  return r;
}

StoredItem item(const std::string& id, int ordinal) {
  StoredItem stored;
  stored.item = {"s", id, {{"question", "q" + id}}, "gold"};
  stored.ordinal = ordinal;
  stored.prompt = {"prompt " + id, {5, 6}, true};
  return stored;
}

TEST(RunStore, GivesBackWhatWasStoredInTheOrderOfTheRun) {
  const testing::TemporaryFolder folder;
  {
    auto store = RunStore::open(folder / "run", RunStore::Mode::kWrite);
    ASSERT_OK(store);
    ASSERT_OK(store->add_items({item("b", 0), item("a", 1)}));
    for (const char* id : {"a", "b"}) {
      for (const int index : {1, 0}) ASSERT_OK(store->insert(RunStore::encode(record(id, index))));
    }
    ASSERT_OK(store->commit());
  }
  auto store = RunStore::open(folder / "run", RunStore::Mode::kRead);
  ASSERT_OK(store);
  std::vector<std::string> order;
  ASSERT_OK(store->for_each([&](const SampleRecord& r) -> Status {
    order.push_back(r.completion.id.item_id + std::to_string(r.completion.id.sample_index));
    const SampleRecord expected = record(r.completion.id.item_id, r.completion.id.sample_index);
    EXPECT_EQ(r.completion.text, expected.completion.text);
    EXPECT_EQ(r.completion.token_ids, expected.completion.token_ids);
    EXPECT_EQ(r.completion.logprob, expected.completion.logprob);
    EXPECT_EQ(r.verdict.values, expected.verdict.values);
    EXPECT_TRUE(r.verdict.has_answer) << "an empty answer is an answer";
    return {};
  }));
  EXPECT_EQ(order, (std::vector<std::string>{"b0", "b1", "a0", "a1"}));
  const auto items = store->items();
  ASSERT_OK(items);
  EXPECT_EQ((*items)[0].prompt.text, "prompt b");
  EXPECT_EQ((*items)[0].item.fields.at("question"), "qb");
}

TEST(RunStore, WhatWasNotCommittedIsNotThere) {
  const testing::TemporaryFolder folder;
  {
    auto store = RunStore::open(folder / "run", RunStore::Mode::kWrite);
    ASSERT_OK(store);
    ASSERT_OK(store->add_items({item("a", 0)}));
    ASSERT_OK(store->insert(RunStore::encode(record("a", 0))));
    ASSERT_OK(store->commit());
    ASSERT_OK(store->insert(RunStore::encode(record("a", 1))));
  }
  auto store = RunStore::open(folder / "run", RunStore::Mode::kRead);
  ASSERT_OK(store);
  EXPECT_EQ(store->sample_ids()->size(), 1u);
}

TEST(RunStore, ASampleIsNeverStoredTwice) {
  const testing::TemporaryFolder folder;
  auto store = RunStore::open(folder / "run", RunStore::Mode::kWrite);
  ASSERT_OK(store);
  ASSERT_OK(store->insert(RunStore::encode(record("a", 0))));
  EXPECT_FALSE(store->insert(RunStore::encode(record("a", 0))).ok());
}

TEST(RunStore, OneWriterAtATime) {
  const testing::TemporaryFolder folder;
  auto first = RunStore::open(folder / "run", RunStore::Mode::kWrite);
  ASSERT_OK(first);
  const auto second = RunStore::open(folder / "run", RunStore::Mode::kWrite);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("another assay is writing this run"));
  EXPECT_TRUE(RunStore::open(folder / "run", RunStore::Mode::kRead).ok());
}

TEST(RunStore, WhatIsNoRunIsAClearError) {
  const testing::TemporaryFolder folder;
  const auto missing = RunStore::open(folder / "nothing", RunStore::Mode::kRead);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message, HasSubstr("holds no run"));
  ASSERT_OK(write_file_atomically(folder / "run.sqlite", std::string(5000, 'x')));
  const auto damaged = RunStore::open(folder.path(), RunStore::Mode::kRead);
  ASSERT_FALSE(damaged.ok());
  EXPECT_THAT(damaged.error().message, HasSubstr("damaged or not a run"));
}

TEST(Store, ReadsAndUpgradesWhatOlderSchemasHold) {
  for (const int schema : {1, 2}) {
    const testing::TemporaryFolder folder;
    {
      auto store = RunStore::open(folder.path(), RunStore::Mode::kWrite);
      ASSERT_OK(store);
      StoredItem item;
      item.item = {"s", "a", {}, "1"};
      ASSERT_TRUE(store->add_items({item}).ok());
      ASSERT_TRUE(store->insert(RunStore::encode(record("a", 0))).ok());
      ASSERT_TRUE(store->commit().ok());
      auto database = Database::open(folder / "run.sqlite", false);
      ASSERT_OK(database);
      ASSERT_OK(database->execute("ALTER TABLE samples DROP COLUMN thought_tokens"));
      if (schema == 1) ASSERT_OK(database->execute("ALTER TABLE samples DROP COLUMN measured"));
      ASSERT_OK(database->execute("UPDATE meta SET value = '" + std::to_string(schema) + "'"));
    }
    for (const auto mode : {RunStore::Mode::kRead, RunStore::Mode::kWrite, RunStore::Mode::kRead}) {
      auto store = RunStore::open(folder.path(), mode);
      ASSERT_OK(store);
      const auto found = store->find({"s", "a", 0});
      ASSERT_OK(found);
      ASSERT_TRUE(found->has_value());
      EXPECT_EQ((*found)->completion.text, record("a", 0).completion.text);
      EXPECT_EQ((*found)->completion.thought_tokens, 0);
    }
  }
}

}  // namespace
}  // namespace assay
