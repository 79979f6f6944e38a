// Where in a text the answer stands.
#pragma once

#include <string>
#include <string_view>

namespace assay::math {

// The answer in a model's or a data set's text, as LaTeX or plain text: what the last \boxed{…}
// holds; of a text with formulas the last one; else the text, or the last number of a sentence.
std::string extract_answer(std::string_view text);

}  // namespace assay::math
