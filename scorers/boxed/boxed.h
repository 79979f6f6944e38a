// Scores the last \boxed{…} after the thought, by math/equal.h.
#pragma once

#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

class BoxedScorer : public Scorer {
 public:
  // `strict`: no rounding, percent, ratio or decimal comma; see scorers/math/README.md.
  explicit BoxedScorer(bool strict = false) : strict_(strict) {}
  std::string id() const override { return strict_ ? "boxed-strict/4" : "boxed/4"; }
  std::string rules() const override;
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override;

 private:
  bool strict_;
};

}  // namespace assay
