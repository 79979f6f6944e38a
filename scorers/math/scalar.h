// Whether two values are the same: exactly, by proof, or by ball arithmetic.
#pragma once

#include "scorers/math/expr.h"

namespace assay::math {

enum class Truth { kDifferent, kEqual, kUnknown };

struct Decision {
  Truth truth = Truth::kDifferent;
  // What decided. "number", "rational function", "proof" and "points" (functions that agree at
  // random points to 200 digits), "ball" (a proven difference), "form" and "words"; for compounds
  // "set", "tuple", "interval", "matrix", "relation"; "undecided".
  const char* rule = "form";
};

// Of expressions without sets, relations and ±. Bounded time.
Decision compare_scalars(const Expr& a, const Expr& b);

// Whether a / b is a positive real: for inequalities. Both have no variables.
bool is_positive_ratio(const Expr& a, const Expr& b);

// Whether both are the same to a hundred bits and more.
bool balls_agree(const Expr& a, const Expr& b);

// e with a fixed rational number for every variable.
Expr at_a_point(const Expr& e);

}  // namespace assay::math
