#include "datasets/dataset.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "suites/suite.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

DatasetSpec spec_of(const std::string& name) {
  const auto suite = find_suite(name);
  EXPECT_TRUE(suite.ok());
  return {suite->name,          suite->data.file,       suite->data.in_tree,
          suite->data.id_field, suite->data.gold_field, suite->data.fields};
}

TEST(Dataset, TheOfficialFilesHaveTheirNumberOfQuestions) {
  ASSAY_NEED_DATA("math500/test.jsonl");
  for (const auto& [name, count] : {std::pair("math500", 500u), {"aime24", 30u}, {"aime25", 30u}}) {
    const auto dataset = load_dataset(spec_of(name), testing::data_dir());
    ASSERT_OK(dataset);
    EXPECT_EQ(dataset->items.size(), count) << name;
    EXPECT_FALSE(dataset->sample);
  }
}

TEST(Dataset, TheSamplesHaveTheOfficialFormatsAndSaySo) {
  const std::string samples = testing::tests_path("../datasets/samples");
  for (const char* name : {"math500", "aime24", "aime25"}) {
    const auto dataset = load_dataset(spec_of(name), samples);
    ASSERT_OK(dataset);
    EXPECT_TRUE(dataset->sample) << name;
    EXPECT_GE(dataset->items.size(), 2u);
  }
}

TEST(Dataset, TheInTreeOneNeedsNoFolder) {
  const auto dataset = load_dataset(spec_of("arithmetic"), "");
  ASSERT_OK(dataset);
  EXPECT_EQ(dataset->items.size(), 100u);
  EXPECT_EQ(dataset->items[0].id, "arithmetic-000");
}

class DatasetFile : public ::testing::Test {
 protected:
  std::string error_of(const std::string& content) {
    EXPECT_TRUE(create_directories(folder_ / "math500").ok());
    EXPECT_TRUE(write_file_atomically(folder_ / "math500/test.jsonl", content).ok());
    const auto dataset = load_dataset(spec_of("math500"), folder_.path());
    EXPECT_FALSE(dataset.ok());
    return dataset.ok() ? "" : dataset.error().message;
  }
  testing::TemporaryFolder folder_;
  const std::string good_ = R"({"problem": "p", "answer": "1", "unique_id": "a"})";
};

TEST_F(DatasetFile, EveryMistakeNamesFileAndLine) {
  EXPECT_THAT(error_of(good_ + "\n{\"problem\": \n"), HasSubstr("test.jsonl:2: not valid JSON"));
  EXPECT_THAT(error_of(good_ + "\n\n" + R"({"problem": "p", "unique_id": "b"})"),
              HasSubstr("test.jsonl:3: field \"answer\" is missing"));
  EXPECT_THAT(
      error_of(R"({"problem": [1], "answer": "1", "unique_id": "a"})"),
      HasSubstr("test.jsonl:1: field \"problem\" must be text, a number or a list of texts"));
  EXPECT_THAT(error_of(good_ + "\n" + good_), HasSubstr("test.jsonl:2: id \"a\" stands twice"));
  EXPECT_THAT(error_of(R"({"problem": "p", "answer": " ", "unique_id": "a"})"),
              HasSubstr("field \"answer\" is empty"));
  EXPECT_THAT(error_of("[1]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(error_of("\n"), HasSubstr("holds no questions"));
  EXPECT_THAT(error_of(good_), HasSubstr("is not the file that math500 is defined on"));
}

TEST_F(DatasetFile, AMissingFileSaysWhereItComesFrom) {
  const auto dataset = load_dataset(spec_of("math500"), folder_.path());
  ASSERT_FALSE(dataset.ok());
  EXPECT_THAT(dataset.error().message, HasSubstr("simpleRL-reason"));
  EXPECT_THAT(dataset.error().message, HasSubstr("--data DIR or ASSAY_DATA"));
  const auto nowhere = load_dataset(spec_of("math500"), "");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error().message, HasSubstr("--data DIR or ASSAY_DATA"));
}

}  // namespace
}  // namespace assay
