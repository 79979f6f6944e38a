#include "datasets/dataset.h"

#include <gmock/gmock.h>
#include <unistd.h>
#include <zstd.h>

#include <set>

#include "datasets/rows.h"
#include "harness/base/file.h"
#include "suites/suite.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

DataSpec spec_of(const std::string& name) {
  const auto suite = find_suite(name);
  EXPECT_TRUE(suite.ok());
  return suite->data.front();
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

TEST(Dataset, SuitesOfManyFilesHaveTheirQuestionsGroupsAndExamples) {
  ASSAY_NEED_DATA("bbh/bbh/navigate.json");
  const auto bbh = load_dataset(spec_of("bbh"), testing::data_dir());
  ASSERT_OK(bbh);
  EXPECT_EQ(bbh->items.size(), 6511u);
  std::set<std::string> groups;
  for (const Item& item : bbh->items) groups.insert(item.fields.at("group"));
  EXPECT_EQ(groups.size(), 27u);
  const Item& first = bbh->items.front();
  EXPECT_EQ(first.id, "boolean_expressions/1");
  EXPECT_EQ(first.gold, "False");
  EXPECT_THAT(first.fields.at("examples"), ::testing::StartsWith("Evaluate the result"));
  const auto math = load_dataset(spec_of("math"), testing::data_dir());
  ASSERT_OK(math);
  EXPECT_EQ(math->items.size(), 5000u);
  EXPECT_EQ(math->items.front().gold, "2");
  EXPECT_EQ(math->items.front().fields.at("group"), "Algebra");
}

TEST(Dataset, FiveShotExamplesAreThoseOfTheSubject) {
  ASSAY_NEED_DATA("mmlu_pro/few_shot_nemo.jsonl");
  const auto dataset = load_dataset(spec_of("mmlu_pro_5shot"), testing::data_dir());
  ASSERT_OK(dataset);
  for (const Item& item : dataset->items) {
    const std::string& examples = item.fields.at("examples");
    int questions = 0, answers = 0;
    for (size_t at = 0; (at = examples.find("Question:\n", at)) != std::string::npos; ++at) {
      ++questions;
    }
    for (size_t at = 0; (at = examples.find("The answer is (", at)) != std::string::npos; ++at) {
      ++answers;
    }
    ASSERT_EQ(questions, 5) << item.id;
    ASSERT_EQ(answers, 5) << item.id;
  }
}

TEST(Dataset, MusrsNestedQuestionsAndNumberedGoldsAreRead) {
  ASSAY_NEED_DATA("musr/small_murder_mystery.json");
  const auto suite = find_suite("musr");
  ASSERT_OK(suite);
  EXPECT_FALSE(data_is_there(suite->data[0], testing::data_dir()));
  const auto dataset = load_dataset(suite->data[1], testing::data_dir());
  ASSERT_OK(dataset);
  EXPECT_TRUE(dataset->sample);
  EXPECT_EQ(dataset->items.size(), 30u);
  EXPECT_EQ(dataset->items[5].fields.at("options"),
            R"(["piano","producer's desk","recording booth"])");
  EXPECT_EQ(dataset->items[5].gold, "B");
  EXPECT_EQ(dataset->items[5].id, "object_placements/1");
}

TEST(Dataset, CsvFieldsMayHoldQuotesCommasAndLines) {
  const auto dataset = load_dataset(spec_of("gpqa"), testing::tests_path("../datasets/samples"));
  ASSERT_OK(dataset);
  ASSERT_EQ(dataset->items.size(), 3u);
  const Item& item = dataset->items.front();
  EXPECT_EQ(item.id, "rec-a");
  EXPECT_EQ(item.gold, "A");
  EXPECT_THAT(item.fields.at("Question"), HasSubstr("10 m/s².\nHow far"));
  EXPECT_EQ(item.fields.at("options"), R"(["20","10","40","5, the \"usual\" answer"])");
}

TEST(Rows, ThoseOfAnUnusableFileAreAnErrorThatSaysWhere) {
  DataSpec spec;
  const auto error = [&](const char* format, const char* text) {
    spec.format = format;
    const auto rows = read_rows(spec, text, "f");
    return rows.ok() ? "" : rows.error().message;
  };
  EXPECT_THAT(error("csv", "a,b\n1,2\n3\n"), HasSubstr("f: record 2: has 1 fields"));
  EXPECT_THAT(error("csv", "a,b\n1,\"2\n"), HasSubstr("a quoted field does not end"));
  EXPECT_EQ(error("csv",
                  "\xEF\xBB\xBF"
                  "a,b\r\n\"x\"\"\",2\r\n"),
            "");
  EXPECT_THAT(error("json", "{}"), HasSubstr("must be a list"));
  EXPECT_THAT(error("json", "[1]"), HasSubstr("f: row 1: must be a JSON object"));
  spec.inner = "questions";
  EXPECT_THAT(error("json", "[{}]"), HasSubstr("field \"questions\" must be a list"));
  EXPECT_THAT(error("json", "[{\"questions\": [1]}]"), HasSubstr("questions 1: must be a JSON"));
}

TEST(Rows, APythonListIsAListOfTexts) {
  const auto list = text_list(Json(R"(['Ana', "producer's desk", 'it\'s'])"), "f");
  ASSERT_OK(list);
  EXPECT_EQ(*list, (std::vector<std::string>{"Ana", "producer's desk", "it's"}));
  for (const char* wrong : {"[", "['a'", "['a' 'b']", "[1]", "['a]", "a"}) {
    EXPECT_FALSE(text_list(Json(wrong), "f").ok()) << wrong;
  }
  EXPECT_TRUE(text_list(Json("[]"), "f").ok());
}

TEST(Dataset, TheSamplesHaveTheOfficialFormatsAndSaySo) {
  const std::string samples = testing::tests_path("../datasets/samples");
  for (const char* name : {"math500", "aime24", "aime25", "gpqa", "gpqa_diamond"}) {
    const auto dataset = load_dataset(spec_of(name), samples);
    ASSERT_OK(dataset);
    EXPECT_TRUE(dataset->sample) << name;
    EXPECT_GE(dataset->items.size(), 2u);
  }
}

TEST(Dataset, AReleaseIsAllFilesUpToItAndTwoAreWhatTheyAdded) {
  const DataSpec spec = spec_of("livecodebench");
  const auto files = [&](const std::string& release) {
    const auto of = of_release(spec, release);
    EXPECT_TRUE(of.ok()) << release;
    std::string all;
    for (const std::string& file : data_files(*of)) all += file + " ";
    return all;
  };
  EXPECT_EQ(files("v1"), "livecodebench/test.jsonl ");
  EXPECT_EQ(files("release_v2"), "livecodebench/test.jsonl livecodebench/test2.jsonl ");
  EXPECT_EQ(files("v4_v5"), "livecodebench/test4.jsonl livecodebench/test5.jsonl ");
  EXPECT_EQ(files("v6_v6"), "livecodebench/test6.jsonl ");
  EXPECT_EQ(data_files(spec), data_files(*of_release(spec, "v5")));
  for (const char* wrong : {"v7", "v5_v4", "_v5", "v5_", "v1_v2_v3", "release_", "5"}) {
    const auto of = of_release(spec, wrong);
    ASSERT_FALSE(of.ok()) << wrong;
    EXPECT_THAT(of.error().message, HasSubstr("has the releases v1, v2, v3, v4, v5, v6"));
  }
  const auto none = of_release(spec_of("math500"), "v5");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message, "--release \"v5\": math500 has no releases");
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
  EXPECT_THAT(error_of(R"({"answer": "1", "unique_id": "a"})"),
              HasSubstr("test.jsonl:1: field \"problem\" is missing"));
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

TEST(Rows, ZstandardFilesAreUnpackedAndCutOnesAreErrors) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += std::to_string(i) + "\n";
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  const auto whole = unpacked("a.jsonl.zst", packed);
  ASSERT_OK(whole);
  EXPECT_EQ(*whole, text);
  EXPECT_EQ(*unpacked("a.zst", packed + packed), text + text);
  EXPECT_FALSE(unpacked("a.zst", std::string_view(packed).substr(0, packed.size() / 2)).ok());
  EXPECT_FALSE(unpacked("a.zst", "not Zstandard").ok());
  EXPECT_FALSE(unpacked("a.zst", "").ok());
}

}  // namespace
}  // namespace assay
