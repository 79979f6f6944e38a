#include "suites/suite.h"

#include <gmock/gmock.h>

#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

TEST(Suites, AllThatComeWithAssayLoad) {
  const auto names = suite_names();
  ASSERT_OK(names);
  EXPECT_THAT(*names, ::testing::IsSupersetOf({"aime24", "aime25", "arithmetic", "math500"}));
  for (const std::string& name : *names) ASSERT_OK(find_suite(name));
}

TEST(Suites, MathSuitesFollowThePublishedProtocol) {
  for (const char* name : {"math500", "aime24", "aime25"}) {
    const auto suite = find_suite(name);
    ASSERT_OK(suite);
    EXPECT_EQ(suite->num_samples, 64);
    EXPECT_EQ(suite->sampling.temperature, 0.6);
    EXPECT_EQ(suite->sampling.top_p, 0.95);
    EXPECT_EQ(suite->sampling.max_tokens, 32768);
    EXPECT_TRUE(suite->system_prompt.empty());
    EXPECT_TRUE(suite->think);
    EXPECT_THAT(suite->user_prompt,
                HasSubstr("Please reason step by step, and put your final answer "
                          "within \\boxed{}."));
  }
}

TEST(Suites, AnUnknownOneIsAnErrorWithAGuess) {
  const auto suite = find_suite("math50");
  ASSERT_FALSE(suite.ok());
  EXPECT_THAT(suite.error().message, HasSubstr("did you mean \"math500\"?"));
}

TEST(Suites, ThePromptTakesTheItemsFields) {
  const auto suite = find_suite("math500");
  ASSERT_OK(suite);
  Item item;
  item.fields["problem"] = "What is $x$ in {{problem}}?";
  EXPECT_THAT(render_user_prompt(*suite, item, 0),
              ::testing::StartsWith("What is $x$ in {{problem}}?\n"));
}

class SuiteFile : public ::testing::Test {
 protected:
  std::string error_after(const std::function<void(Json&)>& change) {
    Json json = testing::load_json(testing::tests_path("../suites/math500.json"));
    change(json);
    const std::string path = folder_ / "math500.json";
    EXPECT_TRUE(write_file_atomically(path, json.dump()).ok());
    const auto suite = load_suite(path);
    EXPECT_FALSE(suite.ok());
    return suite.ok() ? "" : suite.error().message;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(SuiteFile, EveryMistakeNamesFileAndKey) {
  const auto expect = [&](const std::function<void(Json&)>& change, const std::string& message) {
    EXPECT_THAT(error_after(change),
                ::testing::AllOf(HasSubstr("math500.json"), HasSubstr(message)));
  };
  expect([](Json& j) { j["colour"] = 1; }, "unknown key \"colour\"");
  expect([](Json& j) { j["data"]["feilds"] = 1; }, "data: unknown key \"feilds\"");
  expect([](Json& j) { j["sampling"]["topp"] = 1; }, "did you mean \"top_p\"?");
  expect([](Json& j) { j.erase("scorer"); }, "key \"scorer\" is missing");
  expect([](Json& j) { j["sampling"]["max_tokens"] = "many"; }, "must be a whole number");
  expect([](Json& j) { j["sampling"]["num_samples"] = 0; }, "num_samples");
  expect([](Json& j) { j["prompt"]["user"] = "{{question}}"; }, "\"question\" is not");
  expect([](Json& j) { j["name"] = "other"; }, "the file's name");
  expect([](Json& j) { j["metrics"] = {"elo"}; }, "\"elo\" is not");
  expect([](Json& j) { j["published"] = Json::array(); }, "published");
  expect([](Json& j) { j["data"] = 3; }, "data: must be a JSON object");
}

}  // namespace
}  // namespace assay
