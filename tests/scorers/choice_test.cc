#include "scorers/choice/choice.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "harness/base/option_order.h"
#include "tests/support.h"

namespace assay {
namespace {

TEST(Choice, IsTakenFromEveryCase) {
  const auto rows = testing::load_jsonl(testing::tests_path("cases/choice.jsonl"));
  ASSERT_GT(rows.size(), 15u);
  for (const Json& row : rows) {
    const auto choice = extract_choice(row["text"].get<std::string>());
    const std::string found = choice ? std::string(1, choice->label) : "";
    EXPECT_EQ(found, row["letter"].get<std::string>()) << row["text"];
  }
}

// Real outputs of two models with the letter that the official script takes; where we take another
// one it is listed, with the reason.
TEST(Choice, TakesTheLettersOfMmluProsOfficialScriptButForTheDifferencesThatAreListed) {
  ASSAY_NEED_DATA("mmlu_pro/outputs_dev.jsonl.gz");
  std::map<int, std::string> listed;
  for (const Json& row :
       testing::load_jsonl(testing::tests_path("cases/mmlu_pro_differences.jsonl"))) {
    listed[row["line"]] = row["letter"];
  }
  int line = 0, same = 0;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    ++line;
    const auto choice = extract_choice(row["output"].get<std::string>());
    const std::string found = choice ? std::string(1, choice->label) : "";
    const std::string official = row["pred"].is_null() ? "" : row["pred"].get<std::string>();
    same += found == official ? 1 : 0;
    const std::string expected = listed.contains(line) ? listed[line] : official;
    EXPECT_EQ(found, expected) << "line " << line << ", official \"" << official << "\"";
  }
  std::printf("%d of %d as the official script\n", same, line);
}

// The recordings of Mistral are of an older script, which had no rule for a letter that stands
// alone.
TEST(Choice, TheOfficialExtractionIsMmluProsScriptLetterForLetter) {
  ASSAY_NEED_DATA("mmlu_pro/outputs_dev.jsonl.gz");
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    const auto choice = extract_choice_officially(row["output"].get<std::string>());
    const bool older = row["model"].get<std::string>().starts_with("Mistral");
    const bool has_rule = choice && !(older && choice->rule == std::string("last letter"));
    const std::string found = has_rule ? std::string(1, choice->label) : "";
    EXPECT_EQ(found, row["pred"].is_null() ? "" : row["pred"].get<std::string>()) << row["output"];
  }
}

TEST(Choice, AnOptionsTextAndANumberAreTakenWhereTheyAreStated) {
  const std::vector<std::string> options = {"Mackenzie", "Ana", "the green \\text{book}"};
  const auto label = [&](const char* text, OptionLabels labels) {
    const auto choice = extract_choice(text, options, labels);
    return choice ? std::string(1, choice->label) + " " + choice->rule : "";
  };
  EXPECT_EQ(label("ANSWER: 2", OptionLabels::kNumbers), "2 answer:");
  EXPECT_EQ(label("\\boxed{2 - Ana}", OptionLabels::kNumbers), "2 box");
  EXPECT_EQ(label("ANSWER: Ana.", OptionLabels::kNumbers), "2 option's text");
  EXPECT_EQ(label("**Answer:** the green book", OptionLabels::kLetters), "C option's text");
  EXPECT_EQ(label("\\boxed{\\text{Mackenzie}}", OptionLabels::kLetters), "A option's text");
  EXPECT_EQ(label("It was one of the 2 suspects", OptionLabels::kNumbers), "");
  EXPECT_EQ(label("ANSWER: 21", OptionLabels::kNumbers), "");
}

Completion said(const std::string& text, int sample_index) {
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = text;
  completion.id.sample_index = sample_index;
  return completion;
}

// Each sample sees the options in an order of its own; the answer that is stored, and voted on, is
// the option's place in the data.
TEST(ChoiceScorer, ALetterMeansTheOptionThatTheSampleSawThere) {
  const ChoiceScorer scorer;
  Item item;
  item.suite = "gpqa";
  item.id = "q";
  item.gold = "A";
  item.fields["options"] = R"(["right", "wrong", "false", "no"])";
  item.fields["option_order"] = "by item and sample";
  std::set<std::vector<int>> orders;
  for (int sample = 0; sample < 64; ++sample) {
    const std::vector<int> order = option_order("gpqa", "q", sample, 4);
    orders.insert(order);
    for (int place = 0; place < 4; ++place) {
      const std::string letter(1, static_cast<char>('A' + place));
      const Verdict verdict = scorer.score(item, said("Answer: " + letter, sample));
      EXPECT_EQ(verdict.answer[0], 'A' + order[static_cast<size_t>(place)]);
      EXPECT_EQ(verdict.correctness == Correctness::kCorrect,
                order[static_cast<size_t>(place)] == 0);
    }
    EXPECT_EQ(scorer.score(item, said("\\boxed{right}", sample)).correctness,
              Correctness::kCorrect);
  }
  EXPECT_GT(orders.size(), 16u);
  const Verdict verdict = scorer.score(item, said("Answer: A", 3));
  EXPECT_EQ(verdict.detail, "options shown in the order CABD, said A");
}

TEST(ChoiceScorer, GuessesOnlyAsTheOfficialScriptAndThenTheSameEveryTime) {
  Item item;
  item.gold = "A";
  item.fields["options"] = R"(["1", "2", "3", "4"])";
  EXPECT_FALSE(ChoiceScorer().score(item, said("nobody knows", 0)).has_answer);
  const ChoiceScorer guessing(OptionLabels::kLetters, true);
  int right = 0;
  for (int sample = 0; sample < 1000; ++sample) {
    const Verdict verdict = guessing.score(item, said("nobody knows", sample));
    EXPECT_EQ(verdict.rule, "guess");
    EXPECT_EQ(verdict.answer, guessing.score(item, said("nobody knows", sample)).answer);
    right += verdict.correctness == Correctness::kCorrect ? 1 : 0;
  }
  EXPECT_NEAR(right, 250, 50);
}

TEST(ChoiceScorer, ComparesWithTheGoldAndSaysWhatDecided) {
  const ChoiceScorer scorer;
  Item item;
  item.gold = "C";
  Completion completion;
  completion.finish_reason = FinishReason::kStop;
  completion.text = "<think>A? The answer is (A).</think>So the answer is (C).";
  Verdict verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kCorrect);
  EXPECT_EQ(verdict.rule, "answer is");
  completion.text = "I do not know.";
  completion.text = "nobody knows";
  verdict = scorer.score(item, completion);
  EXPECT_EQ(verdict.correctness, Correctness::kIncorrect);
  EXPECT_FALSE(verdict.has_answer);
  completion.finish_reason = FinishReason::kLength;
  EXPECT_EQ(scorer.score(item, completion).rule, "truncated");
}

}  // namespace
}  // namespace assay
