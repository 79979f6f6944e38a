#include "engine/tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <ctime>

#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

std::string source_of(const Json& row) {
  const auto name = row["template"].get<std::string>();
  if (name == "construct") return row["source"];
  if (name == "builtin") {
    const Json config =
        testing::load_json(testing::tests_path("../engine/builtin/tokenizer_config.json"));
    return config["chat_template"];
  }
  const auto file = read_file(testing::data_dir() + "/engine/templates/" + name);
  return file.ok() ? *file : std::string();
}

void check_against_jinja2(bool shipped) {
  int checked = 0;
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/chat_templates.jsonl"))) {
    if (!row.contains("template")) continue;
    const auto name = row["template"].get<std::string>();
    if ((name != "construct" && name != "builtin") != shipped) continue;
    const std::string source = source_of(row);
    const auto parsed = ChatTemplate::parse(source, name);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message << "\n" << source;
    ChatOptions options;
    options.add_generation_prompt = row["add_generation_prompt"];
    options.bos_token = "<bos>";
    options.eos_token = "<eos>";
    OrderedJson messages = OrderedJson::array();  // in the order in which jinja2 saw the fields
    for (const Json& message : row["messages"]) {
      messages.push_back({{"role", message["role"]}, {"content", message["content"]}});
    }
    const auto text = parsed->render(messages, options);
    ASSERT_TRUE(text.ok()) << text.error().message << "\n" << source;
    EXPECT_EQ(*text, row["expected"].get<std::string>())
        << name << ", " << row["conversation"] << "\n"
        << source;
    ++checked;
  }
  EXPECT_GT(checked, 20);
}

TEST(ChatTemplate, ConstructsRenderAsJinja2RendersThem) { check_against_jinja2(false); }

TEST(ChatTemplate, ShippedTemplatesRenderAsJinja2RendersThem) {
  ASSAY_NEED_DATA("engine/templates/Qwen-Qwen2.5-7B-Instruct.jinja");
  check_against_jinja2(true);
}

TEST(ChatTemplate, StrftimeNowIsToday) {
  const auto parsed = ChatTemplate::parse("{{ strftime_now('%Y') }}", "t");
  ASSERT_OK(parsed);
  const auto text = parsed->render(OrderedJson::array(), ChatOptions());
  ASSERT_OK(text);
  const int year = std::stoi(*text);
  const std::time_t now = std::time(nullptr);
  EXPECT_LE(std::abs(year - (std::localtime(&now)->tm_year + 1900)), 1);
}

struct Bad {
  const char* source;
  const char* message;
};

TEST(ChatTemplate, WhatCannotBeParsedIsAnErrorWithItsLine) {
  for (const Bad& bad : std::initializer_list<Bad>{
           {"a\n{% if x %}", "line 2: expected {% endif %}"},
           {"{{ 'open", "a string is not closed"},
           {"{{ 1 + }}", "expected a value"},
           {"{% unknown %}", "the tag \"unknown\" is not supported"},
           {"{% endfor %}", "not supported"},
           {"{{ a", "is not closed"},
           {"{# a", "is not closed"},
           {"{{ a ? b }}", "unexpected character"},
       }) {
    const auto parsed = ChatTemplate::parse(bad.source, "t");
    ASSERT_FALSE(parsed.ok()) << bad.source;
    EXPECT_THAT(parsed.error().message, HasSubstr(bad.message)) << bad.source;
  }
}

TEST(ChatTemplate, WhatCannotBeRenderedIsAnErrorAndNeverARunaway) {
  const std::string nested = std::string(5000, '(') + "1" + std::string(5000, ')');
  for (const Bad& bad : std::initializer_list<Bad>{
           {"{{ raise_exception('no system role') }}", "no system role"},
           {"{{ missing.field }}", "\"missing\" is undefined"},
           {"{{ 'a' + 1 }}", "not defined for"},
           {"{{ 1 / 0 }}", "division by zero"},
           {"{{ x() }}", "cannot be called"},
           {"{{ 1 | nothing }}", "filter \"nothing\" is not supported"},
           {"{{ 1 is nothing }}", "test \"nothing\" is not supported"},
           {"{% for a, b in [[1]] %}{% endfor %}", "cannot unpack"},
           {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
            "too much work"},
           {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply"},
           {"{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}"
            "{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "too long"},
           {"{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "nested too deeply"},
           {"{% set l = [] %}{% set _ = l.append(l) %}{{ l == [l] }}", "nested too deeply"},
           {"{% set ns = namespace(v=0) %}{% for i in range(90000) %}{% set ns.v = [ns.v] %}"
            "{% endfor %}{{ ns.v }}",
            "nested too deeply"},
           {"{{ strftime_now() }}", "strftime_now needs a format"},
       }) {
    const auto parsed = ChatTemplate::parse(bad.source, "t");
    ASSERT_OK(parsed);
    const auto text = parsed->render(OrderedJson::array(), ChatOptions());
    ASSERT_FALSE(text.ok()) << bad.source;
    EXPECT_THAT(text.error().message, HasSubstr(bad.message)) << bad.source;
  }
  const auto deep = ChatTemplate::parse("{{ " + nested + " }}", "t");
  ASSERT_FALSE(deep.ok());
  EXPECT_THAT(deep.error().message, HasSubstr("too deeply"));
}

}  // namespace
}  // namespace assay
