#include "harness/prompt.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "engine/runtime/local_engine.h"
#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The built-in model with another tokenizer_config.json.
class PromptOf : public ::testing::Test {
 protected:
  std::unique_ptr<LocalModel> model(const Json& config) {
    const std::string source = *find_resource("engine/builtin");
    for (const char* name : {"/config.json", "/model.safetensors", "/tokenizer.json"}) {
      EXPECT_TRUE(write_file_atomically(folder_.path() + name, *read_file(source + name)).ok());
    }
    EXPECT_TRUE(write_file_atomically(folder_ / "tokenizer_config.json", config.dump()).ok());
    auto opened = LocalModel::open(folder_.path());
    EXPECT_TRUE(opened.ok());
    return std::move(opened).value();
  }

  static Prompt render(const LocalModel& model, Thinking thinking = Thinking::kAuto) {
    const auto suite = find_suite("arithmetic");
    Item item;
    item.fields["question"] = "1 + 1?";
    const auto prompt = render_prompt(model, *suite, item, 0, {}, thinking);
    EXPECT_TRUE(prompt.ok()) << prompt.error().message;
    return *prompt;
  }

  static int64_t count(const Prompt& prompt, int32_t id) {
    return std::count(prompt.token_ids.begin(), prompt.token_ids.end(), id);
  }

  testing::TemporaryFolder folder_;
};

const std::string kOpens =
    "{{ bos_token }}User: {{ messages[0].content }} Assistant: {{ '<think>\\n' }}";
const std::string kClosed =
    "{{ bos_token }}{{ messages[0].content }}{% if '</think>' in 'x' %}{% endif %}\n\nA:";

TEST_F(PromptOf, BosOfTheTemplateIsNotDoubled) {
  const auto opened = model({{"bos_token", "<|endoftext|>"},
                             {"eos_token", "<|im_end|>"},
                             {"add_bos_token", true},
                             {"chat_template", kClosed}});
  const Prompt prompt = render(*opened);
  EXPECT_EQ(count(prompt, *opened->tokenizer.bos()), 1);
  EXPECT_EQ(prompt.token_ids.front(), *opened->tokenizer.bos());
}

TEST_F(PromptOf, ABaseModelGetsItsBosOnceAndPlainText) {
  const auto opened = model({{"bos_token", "<|endoftext|>"}, {"add_bos_token", true}});
  const Prompt prompt = render(*opened);
  EXPECT_EQ(count(prompt, *opened->tokenizer.bos()), 1);
  EXPECT_THAT(prompt.text, StartsWith("1 + 1?\nPlease reason step by step"));
  EXPECT_FALSE(prompt.opens_thought) << "nothing says that this model knows thoughts";
}

TEST_F(PromptOf, AThoughtThatTheTemplateOpensIsNotOpenedAgain) {
  const auto opened = model({{"bos_token", "<|endoftext|>"}, {"chat_template", kOpens}});
  const Prompt prompt = render(*opened, Thinking::kOn);
  EXPECT_TRUE(prompt.opens_thought);
  EXPECT_THAT(prompt.text, EndsWith("Assistant: <think>\n"));
  EXPECT_THAT(prompt.text, Not(HasSubstr("<think>\n<think>")));
}

TEST_F(PromptOf, AThoughtIsOpenedForModelsThatKnowThem) {
  const auto knows = model({{"chat_template", kClosed}});
  EXPECT_THAT(render(*knows).text, EndsWith("A:<think>\n"));
  EXPECT_THAT(render(*knows, Thinking::kOff).text, EndsWith("A:"));
  const auto plain = model({{"chat_template", "{{ messages[0].content }}\n\nA:"}});
  EXPECT_THAT(render(*plain).text, EndsWith("A:"));
  EXPECT_FALSE(render(*plain).opens_thought);
  EXPECT_THAT(render(*plain, Thinking::kOn).text, EndsWith("A:<think>\n"));
}

TEST_F(PromptOf, TheBuiltinModelIsAskedForAThought) {
  auto opened = LocalModel::open(*find_resource("engine/builtin"));
  ASSERT_OK(opened);
  const Prompt prompt = render(**opened);
  EXPECT_EQ(
      prompt.text,
      "<|im_start|>user\n1 + 1?\nPlease reason step by step, and put your final answer within "
      "\\boxed{}.<|im_end|>\n<|im_start|>assistant\n<think>\n");
  EXPECT_TRUE(prompt.opens_thought);
}

}  // namespace
}  // namespace assay
