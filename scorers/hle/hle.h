// Scores Humanity's Last Exam as far as no judge is needed.
#pragma once

#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

// Takes the answer behind the last "Exact Answer:" or "Answer:" and the number behind the last
// "Confidence:" (value "confidence", 0 to 1; 1 if it is missing, as in the official evaluation).
// An item whose field "answer_type" is multipleChoice is decided by its letter. Another answer is
// correct if it is the gold letter for letter or by math/equal.h; else it is left to a judge:
// unscored by "not_judged".
class HleScorer : public Scorer {
 public:
  std::string id() const override { return "hle/1"; }
  std::string rules() const override {
    return "letter, same text, mathematics, judged, not_judged";
  }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }
};

}  // namespace assay
