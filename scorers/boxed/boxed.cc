#include "scorers/boxed/boxed.h"

#include "harness/base/boxed.h"
#include "scorers/answer.h"
#include "scorers/math/equal.h"

namespace assay {

std::string BoxedScorer::rules() const {
  return std::string("same, number, ") +
         (strict_ ? "" : "rounded, percent, ratio, decimal comma, ") +
         "rational function, ball, proof, points; by parts: set, tuple, interval, relation, "
         "matrix, unit, base, words, time, date (scorers/math/README.md)";
}

Verdict BoxedScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  verdict.correctness = Correctness::kIncorrect;
  const auto boxed = last_boxed(*answer_part(completion.text, completion.opens_thought));
  if (!boxed) {
    verdict.rule = "no_box";
    verdict.detail = "no balanced \\boxed{} after the thought";
    return verdict;
  }
  verdict.has_answer = true;
  verdict.answer = *boxed;
  const math::Decision decision =
      math::compare(item.gold, *boxed, strict_ ? math::Reading::kStrict : math::Reading::kReader);
  verdict.rule = decision.rule;
  if (decision.truth == math::Truth::kEqual) {
    verdict.correctness = Correctness::kCorrect;
  } else if (decision.truth == math::Truth::kUnknown) {
    verdict.correctness = Correctness::kUnscored;
    verdict.detail = "neither equality nor difference could be proven";
  }
  return verdict;
}

bool BoxedScorer::same_answer(std::string_view a, std::string_view b) const {
  return math::compare(a, b, math::Reading::kStrict).truth == math::Truth::kEqual;
}

}  // namespace assay
