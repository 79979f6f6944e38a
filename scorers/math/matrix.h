// Matrices that answers add and multiply.
#pragma once

#include <optional>

#include "scorers/math/expr.h"

namespace assay::math {

bool has_matrix(const Expr& e);

// Sums, products and multiples of matrices as one, its cells as expressions; none for what is not a
// matrix or does not fit.
std::optional<Expr> matrix_value(const Expr& e);

}  // namespace assay::math
