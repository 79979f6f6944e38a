#include "scorers/choice/choice.h"

#include <re2/re2.h>

#include "scorers/boxed/boxed.h"

namespace assay {
namespace {

// The letter that the pattern captures last; bounded, as each match begins behind the one before.
std::optional<char> last_match(std::string_view text, const re2::RE2& pattern) {
  re2::StringPiece rest(text.data(), text.size());
  std::string letter, last;
  while (re2::RE2::FindAndConsume(&rest, pattern, &letter)) last = letter;
  return last.empty() ? std::nullopt : std::optional(last[0]);
}

}  // namespace

std::optional<Choice> extract_choice(std::string_view text) {
  static const re2::RE2 kBox(
      R"(^\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?\s*\(?([A-J])(?:[^\w].*)?$)");
  static const re2::RE2 kAnswerIs(R"([Aa]nswer is:?\s*[*$"'\\(]*(?:text\{)?\(?([A-J])\b)");
  static const re2::RE2 kAnswer(R"([Aa]nswer:\s*[*$"'\\(]*(?:text\{)?\(?([A-J])\b)");
  static const re2::RE2 kAlone(R"((?:^|[^\p{L}\p{N}_])([A-J])(?:$|[^\p{L}\p{N}_]))");
  if (const auto boxed = last_boxed(text)) {
    if (const auto letter = last_match(*boxed, kBox)) return Choice{*letter, "box"};
  }
  if (const auto letter = last_match(text, kAnswerIs)) return Choice{*letter, "answer is"};
  if (const auto letter = last_match(text, kAnswer)) return Choice{*letter, "answer:"};
  if (const auto letter = last_match(text, kAlone)) return Choice{*letter, "last letter"};
  return std::nullopt;
}

Verdict ChoiceScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  const auto choice = extract_choice(*answer_part(completion.text, completion.opens_thought));
  verdict.correctness = Correctness::kIncorrect;
  if (!choice) {
    verdict.rule = "no_letter";
    verdict.detail = "no letter A–J that stands alone";
    return verdict;
  }
  verdict.has_answer = true;
  verdict.answer = std::string(1, choice->letter);
  verdict.rule = choice->rule;
  if (verdict.answer == item.gold) verdict.correctness = Correctness::kCorrect;
  return verdict;
}

}  // namespace assay
