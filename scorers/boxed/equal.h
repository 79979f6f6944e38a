// When two short mathematical answers are the same, without algebra: numbers by exact value, lists
// element by element, all else by normalised LaTeX. Full equivalence (scorers/math) takes the place
// of compare_answers, with the same signature.
#pragma once

#include <string>
#include <string_view>

namespace assay {

struct Comparison {
  bool equal = false;
  const char* rule = "";  // "number", "list", "string": what decided
};

Comparison compare_answers(std::string_view gold, std::string_view answer);

// LaTeX without what does not change its meaning: spacing, \left and \right, $, units and degrees
// behind a number, \dfrac for \frac, \frac12 for \frac{1}{2}, "x =" before the value.
std::string normalize_latex(std::string_view text);

}  // namespace assay
