// Scores the letter of a multiple-choice answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

struct Choice {
  char letter;
  const char* rule;  // "box", "answer is", "answer:", "last letter"
};

// The letter A–J that a completion's answer states: in the last box; in the last "answer is (C)";
// in the last "Answer: C"; else the last letter that stands alone. The order and the patterns are
// those of MMLU-Pro's official extraction (TIGER-AI-Lab/MMLU-Pro, evaluate_from_local.py), but that
// the last statement counts and that nothing is guessed.
std::optional<Choice> extract_choice(std::string_view text);

class ChoiceScorer : public Scorer {
 public:
  std::string id() const override { return "choice/1"; }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }
};

}  // namespace assay
