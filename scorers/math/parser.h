// Our own reading of LaTeX and plain text: nothing of a model's text is ever evaluated.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scorers/math/expr.h"

namespace assay::math {

struct Answer {
  Expr value;
  std::string unit;  // see unit_name(); empty without one
};

enum class Unreadable { kSyntax, kTooComplex };

// Reads an answer; several, separated by commas or "and", are a bare list. Linear time; deep nests
// and long texts are too complex.
std::optional<Answer> parse(std::string_view text, Unreadable& why);

}  // namespace assay::math
