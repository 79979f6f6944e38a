// Scores IFEval: a response is correct if it follows every instruction of its prompt.
#pragma once

#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

// Reads the item's fields "instruction_id_list" and "kwargs", JSON as in the data set. Values:
// "instructions" (their number), "strict" and "loose" (how many are followed), "all_loose" (1 if
// all are). Correct is prompt-level strict.
class IfevalScorer : public Scorer {
 public:
  std::string id() const override { return "ifeval/1"; }
  std::string rules() const override {
    return "25 instruction checks; correct if all are followed, strictly";
  }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }
};

}  // namespace assay
