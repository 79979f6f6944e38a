#include "scorers/hle/hle.h"

#include "harness/base/text.h"
#include "scorers/answer.h"
#include "scorers/choice/choice.h"
#include "scorers/math/equal.h"

namespace assay {
Verdict HleScorer::score(const Item& item, const Completion& completion) const {
  static const re2::RE2 kAnswer(R"((?i)(?:exact )?answer[*_]*:[*_]*[ \t]*([^\n]+))");
  static const re2::RE2 kConfidence(R"((?i)confidence[*_]*:[*_]*\s*(\d{1,3}))");
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  const std::string_view text = *answer_part(completion.text, completion.opens_thought);
  const std::string percent = last_match(text, kConfidence);
  verdict.values["confidence"] = percent.empty() ? 1 : std::min(100, std::stoi(percent)) / 100.0;
  const std::string stated = last_match(text, kAnswer);
  verdict.answer = std::string(trim(stated));
  verdict.has_answer = !verdict.answer.empty();
  const auto kind = item.fields.find("answer_type");
  if (kind != item.fields.end() && kind->second == "multipleChoice") {
    const auto choice = extract_choice(text);
    verdict.has_answer = choice.has_value();
    verdict.answer = choice ? std::string(1, choice->label) : "";
    verdict.rule = choice ? "letter" : "no_letter";
    verdict.correctness =
        verdict.answer == item.gold ? Correctness::kCorrect : Correctness::kIncorrect;
    return verdict;
  }
  if (verdict.has_answer && verdict.answer == trim(item.gold)) {
    verdict.rule = "same text";
    verdict.correctness = Correctness::kCorrect;
    return verdict;
  }
  if (verdict.has_answer) {
    const math::Decision decision =
        math::compare(item.gold, verdict.answer, math::Reading::kStrict);
    if (decision.truth == math::Truth::kEqual) {
      verdict.rule = decision.rule;
      verdict.correctness = Correctness::kCorrect;
      return verdict;
    }
  }
  verdict.rule = "not_judged";
  verdict.detail = "no exact match; give --judge MODEL to assay run or assay score";
  return verdict;
}

}  // namespace assay
