#include "scorers/ifeval/ifeval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include "scorers/ifeval/instructions.h"
#include "scorers/ifeval/language.h"
#include "scorers/ifeval/sentences.h"
#include "scorers/ifeval/unicode.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// The prompts' instructions by key.
std::map<int, std::vector<ifeval::Instruction>> prompts(const std::string& path) {
  std::map<int, std::vector<ifeval::Instruction>> out;
  for (const Json& row : testing::load_jsonl(path)) {
    auto read = ifeval::read_instructions(row["instruction_id_list"].dump(), row["kwargs"].dump());
    EXPECT_TRUE(read.ok());
    if (read.ok()) out[row["key"].get<int>()] = *read;
  }
  return out;
}

// 1,623 responses with the official checker's verdict on every instruction; what it needed NLTK's
// model for comes from cases/ifeval_nltk.jsonl. Where we differ, a case says why.
TEST(Ifeval, JudgesEveryInstructionAsTheOfficialCheckerButForTheDifferencesThatAreListed) {
  ASSAY_NEED_DATA("ifeval/responses_dev.jsonl.gz");
  const auto known = prompts(testing::data_dir() + "/ifeval/input_data.jsonl");
  ASSERT_EQ(known.size(), 541u);
  std::map<std::pair<int, int>, Json> nltk, differences;
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/ifeval_nltk.jsonl"))) {
    if (row.contains("line")) nltk[{row["line"], row["instruction"]}] = row;
  }
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/ifeval_differences.jsonl"))) {
    differences[{row["line"], row["instruction"]}] = row;
  }
  int line = 0, judged = 0, different = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    ++line;
    const auto& instructions = known.at(row["key"].get<int>());
    const std::string response = row["response"].get<std::string>();
    for (int i = 0; i < static_cast<int>(instructions.size()); ++i) {
      const ifeval::Instruction& instruction = instructions[static_cast<size_t>(i)];
      const auto recorded = nltk.find({line, i});
      const Json& official = recorded == nltk.end() ? row : recorded->second;
      const auto verdict = [&](const char* kind) {
        const Json& value = official[kind];
        return value.is_array() ? value[static_cast<size_t>(i)].get<bool>() : value.get<bool>();
      };
      const bool strict = ifeval::follows(instruction, response);
      const bool loose = ifeval::follows_loosely(instruction, response);
      judged += 2;
      const auto listed = differences.find({line, i});
      if (listed != differences.end()) {
        ++different;
        EXPECT_EQ(strict, listed->second["strict"].get<bool>()) << line;
        EXPECT_EQ(loose, listed->second["loose"].get<bool>()) << line;
        continue;
      }
      const bool same = strict == verdict("strict") && loose == verdict("loose");
      EXPECT_TRUE(same) << "{\"line\": " << line << ", \"instruction\": " << i << ", \"id\": \""
                        << instruction.id << "\", \"strict\": " << strict
                        << ", \"loose\": " << loose << "} official " << verdict("strict")
                        << verdict("loose") << " " << instruction.arguments << "\n"
                        << response.substr(0, 300);
    }
  }
  EXPECT_EQ(line, 1623);
  EXPECT_EQ(judged, 2 * 2502);
  std::printf("%d instructions, %d judged otherwise\n", judged / 2, different);
}

// Counts of NLTK with its own English model, of which we have the abbreviations but not the
// statistics of letter case.
TEST(Ifeval, CountsSentencesAndCapitalWordsAsNltk) {
  ASSAY_NEED_DATA("ifeval/responses_dev.jsonl.gz");
  const Json counts = testing::load_json(testing::tests_path("cases/ifeval_counts.json"));
  size_t line = 0, sentences = 0, capitals = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    const std::u32string text = ifeval::code_points(row["response"].get<std::string>());
    const int found = ifeval::count_sentences(text), capital = ifeval::count_capital_words(text);
    sentences += found == counts["sentences"][line].get<int>() ? 1 : 0;
    capitals += capital == counts["capital_words"][line].get<int>() ? 1 : 0;
    ++line;
  }
  std::printf("of %zu responses, sentences of %zu and capital words of %zu counted alike\n", line,
              sentences, capitals);
  EXPECT_GE(sentences, 1592u);
  EXPECT_EQ(capitals, line);
}

TEST(Ifeval, ReportsWhatWasFollowedStrictlyAndLoosely) {
  const IfevalScorer scorer;
  Item item;
  item.fields["instruction_id_list"] = R"(["punctuation:no_comma", "startend:quotation"])";
  item.fields["kwargs"] = "[{}, {}]";
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = "<think>a, b</think>\n\n\"no comma here\"";
  Verdict verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kCorrect);
  EXPECT_EQ(verdict.values.at("strict"), 2);
  completion.text = "Sure, here it is:\n\"no comma here\"";
  verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kIncorrect);
  EXPECT_EQ(verdict.values.at("strict"), 0);
  EXPECT_EQ(verdict.values.at("loose"), 2);
  EXPECT_EQ(verdict.values.at("all_loose"), 1);
  EXPECT_THAT(verdict.detail, HasSubstr("not followed: punctuation:no_comma (loosely it is)"));
  completion.finish_reason = FinishReason::kLength;
  verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.rule, "truncated");
  EXPECT_EQ(verdict.values.at("instructions"), 2);
  item.fields["kwargs"] = "[{}]";
  EXPECT_EQ(scorer.score(item, completion).correctness, Correctness::kUnscored);
}

TEST(Ifeval, InstructionsThatCannotBeCheckedAreAnErrorThatNamesThem) {
  const auto error = [](const char* ids, const char* kwargs) {
    const auto read = ifeval::read_instructions(ids, kwargs);
    return read.ok() ? std::string() : read.error().message;
  };
  EXPECT_THAT(error(R"(["a:b"])", "[{}]"), HasSubstr("\"a:b\": there is none of that name"));
  EXPECT_THAT(error(R"(["length_constraints:number_words"])", R"([{"relation": "at least"}])"),
              HasSubstr("argument \"num_words\" must be a number"));
  EXPECT_THAT(error(R"(["keywords:existence"])", R"([{"keywords": [1]}])"), HasSubstr("a list"));
  EXPECT_THAT(error("[1]", "[{}]"), HasSubstr("must be texts"));
  EXPECT_THAT(error("{}", "[]"), HasSubstr("lists of one length"));
}

TEST(Ifeval, CaseIsThatOfPython) {
  const auto upper = [](const char* t) { return ifeval::all_upper(ifeval::code_points(t)); };
  const auto lower = [](const char* t) { return ifeval::all_lower(ifeval::code_points(t)); };
  EXPECT_TRUE(upper("ÄRGER 12!"));
  EXPECT_FALSE(upper("12!"));
  EXPECT_FALSE(upper("Ä ß"));
  EXPECT_TRUE(lower("ärger, straße"));
  EXPECT_FALSE(lower("ǅ"));
  EXPECT_EQ(ifeval::strip("\u00A0\u3000 a b\u2003\n"), "a b");
  EXPECT_EQ(ifeval::count_words("it's naïve: 3½ words_1"), 5);
}

TEST(Ifeval, ALanguageIsSaidWhereThereIsOne) {
  EXPECT_EQ(ifeval::detect_language("The house stands on a hill and it is rather old."), "en");
  EXPECT_EQ(ifeval::detect_language("DAS HAUS STEHT AUF EINEM HÜGEL UND IST RECHT ALT."), "de");
  EXPECT_EQ(ifeval::detect_language("这座房子在山上，已经很旧了。"), "zh-cn");
  EXPECT_EQ(ifeval::detect_language("12 + 4 = 16"), "");
}

// 100 kB of anything is judged in time that grows with its length.
TEST(Ifeval, HostileResponsesAreJudgedInBoundedTime) {
  std::vector<ifeval::Instruction> all;
  const testing::TemporaryFolder folder;
  const auto add = [&](const char* id, const char* arguments) {
    const auto read =
        ifeval::read_instructions(Json({id}).dump(), "[" + std::string(arguments) + "]");
    ASSERT_OK(read);
    all.push_back(read->front());
  };
  add("length_constraints:number_sentences", R"({"relation": "at least", "num_sentences": 3})");
  add("change_case:capital_word_frequency",
      R"({"capital_relation": "at least", "capital_frequency": 3})");
  add("detectable_format:number_highlighted_sections", R"({"num_highlights": 3})");
  add("detectable_format:number_bullet_lists", R"({"num_bullets": 3})");
  add("detectable_content:number_placeholders", R"({"num_placeholders": 1})");
  add("detectable_format:title", "{}");
  add("detectable_format:json_format", "{}");
  add("combination:two_responses", "{}");
  add("length_constraints:number_paragraphs", R"({"num_paragraphs": 2})");
  add("keywords:existence", R"({"keywords": ["(a*)*b"]})");
  add("keywords:forbidden_words", R"({"forbidden_words": ["(", "a"]})");
  add("language:response_language", R"({"language": "en"})");
  for (const char* unit : {"*", "[", "{", "-", ". ", "a.", "<<", "\n*", "!?", "\"", "'", " ", "A",
                           "\xFF", "-.", "......", "* \n"}) {
    std::string text;
    while (text.size() < 100'000) text += unit;
    for (const ifeval::Instruction& instruction : all) {
      const auto started = std::chrono::steady_clock::now();
      ifeval::follows_loosely(instruction, text);
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
      if (!testing::kOptimized) continue;
      EXPECT_LT(elapsed.count(), 1.0) << instruction.id << " " << unit;
    }
  }
}

}  // namespace
}  // namespace assay
