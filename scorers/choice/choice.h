// Scores the letter, or the number, of a multiple-choice answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scorers/scorer.h"

namespace assay {

enum class OptionLabels { kLetters, kNumbers };  // A–J or 1–9

struct Choice {
  char label;        // 'A' or '1' is the first option
  const char* rule;  // "box", "answer is", "answer:", "option's text", "last letter"
};

// The label that a completion's answer states: in the last box; in the last "answer is (C)"; in the
// last "Answer: C"; as an option's whole text in the last box or after the last "answer is" or
// "answer:"; else the last label that stands alone. Order and patterns are those of MMLU-Pro's
// official extraction (TIGER-AI-Lab/MMLU-Pro, evaluate_from_local.py), GPQA's (openai/simple-evals:
// "Answer: $LETTER") and MuSR's ("ANSWER: 2"), but that the last statement counts and that nothing
// is guessed. `options`: in the order shown; may be empty. A number that merely stands alone is no
// answer.
std::optional<Choice> extract_choice(std::string_view text,
                                     const std::vector<std::string>& options = {},
                                     OptionLabels labels = OptionLabels::kLetters);

// The letter that MMLU-Pro's official script takes: the first "answer is (C)", else the last
// "Answer: C", else the last letter that stands alone. Where it finds none it guesses.
std::optional<Choice> extract_choice_officially(std::string_view text);

// The gold is a letter: the option's place in the data. The answer too, whatever the label and,
// where options are shuffled, the order that the sample saw; the detail then says both. `official`:
// MMLU-Pro's extraction, and a guess (by item and sample) where it finds nothing.
class ChoiceScorer : public Scorer {
 public:
  explicit ChoiceScorer(OptionLabels labels = OptionLabels::kLetters, bool official = false)
      : labels_(labels), official_(official) {}
  std::string id() const override { return official_ ? "choice-official/2" : "choice/2"; }
  std::string rules() const override;
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }

 private:
  OptionLabels labels_;
  bool official_;
};

}  // namespace assay
