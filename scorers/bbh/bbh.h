// Scores BIG-Bench Hard: an option's letter, yes or no, a number, closing brackets, a word list.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

// What a completion states last: behind "the answer is" (BBH's own extraction, to the end of the
// line and without a final full stop; suzgunmirac/BIG-Bench-Hard) or in a box, whichever comes
// later; else, on the last line, behind "answer:".
std::optional<std::string> bbh_statement(std::string_view text);

// Whether a statement is the gold. What it is compared as follows from the gold: "(B)" by letter,
// a number by value, brackets and word lists without regard to space, commas and quotes, a word
// without regard to case.
bool bbh_equal(std::string_view gold, std::string_view statement);

class BbhScorer : public Scorer {
 public:
  std::string id() const override { return "bbh/1"; }
  std::string rules() const override;
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override {
    return bbh_equal(a, b) || bbh_equal(b, a);
  }
};

}  // namespace assay
