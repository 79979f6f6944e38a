#include "scorers/math/matrix.h"

#include <algorithm>

namespace assay::math {
namespace {

std::optional<Expr> matrix_sum(const Expr& a, const Expr& b) {
  if (a.args.size() != b.args.size()) return std::nullopt;
  Expr sum = a;
  for (size_t r = 0; r < a.args.size(); ++r) {
    if (a.args[r].args.size() != b.args[r].args.size()) return std::nullopt;
    for (size_t c = 0; c < a.args[r].args.size(); ++c) {
      sum.args[r].args[c] = node(Kind::kAdd, {a.args[r].args[c], b.args[r].args[c]});
    }
  }
  return sum;
}

std::optional<Expr> matrix_product(const Expr& a, const Expr& b) {
  Expr product = node(Kind::kMatrix, {});
  for (const Expr& row : a.args) {
    Expr out = node(Kind::kSequence, {}, "()");
    if (row.args.size() != b.args.size() || b.args.empty()) return std::nullopt;
    for (size_t c = 0; c < b.args[0].args.size(); ++c) {
      std::vector<Expr> terms;
      for (size_t k = 0; k < row.args.size(); ++k) {
        if (c >= b.args[k].args.size()) return std::nullopt;
        terms.push_back(node(Kind::kMul, {row.args[k], b.args[k].args[c]}));
      }
      out.args.push_back(node(Kind::kAdd, std::move(terms)));
    }
    product.args.push_back(std::move(out));
  }
  return product;
}

Expr scaled(Expr matrix, const Expr& factor) {
  for (Expr& row : matrix.args) {
    for (Expr& cell : row.args) cell = node(Kind::kMul, {factor, std::move(cell)});
  }
  return matrix;
}

}  // namespace

bool has_matrix(const Expr& e) {
  return e.kind == Kind::kMatrix || std::any_of(e.args.begin(), e.args.end(), has_matrix);
}

std::optional<Expr> matrix_value(const Expr& e) {
  if (e.kind == Kind::kMatrix) return e;
  if (!has_matrix(e)) return std::nullopt;
  if (e.kind == Kind::kNeg) {
    const auto inside = matrix_value(e.args[0]);
    return inside ? std::optional(scaled(*inside, number("-1"))) : std::nullopt;
  }
  if (e.kind != Kind::kAdd && e.kind != Kind::kMul) return std::nullopt;
  std::optional<Expr> result;
  Expr factor = number("1");
  for (const Expr& arg : e.args) {
    const auto next = matrix_value(arg);
    if (!next) {
      if (e.kind == Kind::kAdd || has_matrix(arg)) return std::nullopt;
      factor = node(Kind::kMul, {std::move(factor), arg});
    } else if (!result) {
      result = next;
    } else {
      result = e.kind == Kind::kAdd ? matrix_sum(*result, *next) : matrix_product(*result, *next);
      if (!result) return std::nullopt;
    }
  }
  return result && !factor.is_number("1") ? scaled(*result, factor) : result;
}

}  // namespace assay::math
