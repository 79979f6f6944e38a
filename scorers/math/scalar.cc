#include "scorers/math/scalar.h"

#include <algorithm>
#include <vector>

#include "scorers/math/program.h"

namespace assay::math {
namespace {

// Sixty-fourths: of both signs, near enough to 1 that functions have values.
constexpr long kPoints[][8] = {{91, 203, 55, 147, 118, 171, 83, 229},
                               {-77, 135, -189, 61, -103, 213, -45, 159},
                               {167, -59, 113, -221, 71, -143, 197, -87}};
constexpr int kMostVariables = 64;

std::vector<long> point(int index, int count) {
  std::vector<long> values;
  for (int i = 0; i < count; ++i) values.push_back(kPoints[index][i % 8] + 11L * (i / 8));
  return values;
}

Truth truth_of(math_answer answer) {
  return answer == MATH_EQUAL       ? Truth::kEqual
         : answer == MATH_DIFFERENT ? Truth::kDifferent
                                    : Truth::kUnknown;
}

bool plain_number(const Expr& e, std::string& text) {
  if (e.kind == Kind::kNeg && e.args[0].kind == Kind::kNumber) {
    text = "-" + e.args[0].text;
    return true;
  }
  text = e.text;
  return e.kind == Kind::kNumber;
}

// 1/0 is no value.
bool divides_by_zero(const Expr& e) {
  if (e.kind == Kind::kDiv && e.args[1].kind == Kind::kNumber) {
    const std::string& divisor = e.args[1].text;  // "01/10" is a tenth
    if (divisor.substr(0, divisor.find('/')).find_first_not_of('0') == std::string::npos) {
      return true;
    }
  }
  return std::any_of(e.args.begin(), e.args.end(), divides_by_zero);
}

Decision compare_constants(const Program& a, const Program& b) {
  if (math_compare_balls(a.view(), b.view(), nullptr, 0, 64) == MATH_DIFFERENT) {
    return {Truth::kDifferent, "ball"};
  }
  const Truth proven = truth_of(math_compare_constants(a.view(), b.view()));
  if (proven != Truth::kUnknown) return {proven, "proof"};
  if (math_exactly_equal(a.view(), b.view())) return {Truth::kEqual, "proof"};
  for (const long precision : {256L, 700L}) {
    if (math_compare_balls(a.view(), b.view(), nullptr, 0, precision) == MATH_DIFFERENT) {
      return {Truth::kDifferent, "ball"};
    }
  }
  return {Truth::kUnknown, "undecided"};
}

Decision compare_functions(const Program& a, const Program& b, int variables) {
  int equal = 0;
  for (int i = 0; i < 3; ++i) {
    const std::vector<long> values = point(i, variables);
    for (const long precision : {64L, 700L}) {
      const math_answer answer =
          math_compare_balls(a.view(), b.view(), values.data(), variables, precision);
      if (answer == MATH_DIFFERENT) return {Truth::kDifferent, "ball"};
      if (precision > 64 && answer == MATH_EQUAL) ++equal;
    }
  }
  if (equal >= 2) return {Truth::kEqual, "points"};
  return {Truth::kUnknown, "undecided"};
}

}  // namespace

Decision compare_scalars(const Expr& a, const Expr& b) {
  std::string x, y;
  if (plain_number(a, x) && plain_number(b, y)) {
    return {truth_of(math_compare_numbers(x.c_str(), y.c_str())), "number"};
  }
  Variables variables;
  Program a_rational, b_rational;
  if (divides_by_zero(a) || divides_by_zero(b) ||
      !a_rational.build(a, Atoms::kFunctions, variables) ||
      !b_rational.build(b, Atoms::kFunctions, variables)) {
    return {canonical(a) == canonical(b) ? Truth::kEqual : Truth::kDifferent, "form"};
  }
  if (variables.count() > kMostVariables) return {Truth::kUnknown, "undecided"};
  const bool rational = !a_rational.has_functions() && !b_rational.has_functions();
  const math_answer answer =
      math_compare_rational(a_rational.view(), b_rational.view(), variables.count());
  if (answer == MATH_EQUAL || (rational && answer == MATH_DIFFERENT)) {
    return {truth_of(answer), variables.count() == 0 ? "number" : "rational function"};
  }
  Variables real;
  Program p, q;
  if (!p.build(a, Atoms::kVariables, real) || !q.build(b, Atoms::kVariables, real)) {
    return {Truth::kDifferent, "form"};
  }
  return real.count() == 0 ? compare_constants(p, q) : compare_functions(p, q, real.count());
}

bool balls_agree(const Expr& a, const Expr& b) {
  Variables none;
  Program p, q;
  return p.build(a, Atoms::kVariables, none) && q.build(b, Atoms::kVariables, none) &&
         none.count() == 0 && math_compare_balls(p.view(), q.view(), nullptr, 0, 256) == MATH_EQUAL;
}

bool is_positive_ratio(const Expr& a, const Expr& b) {
  const Expr product = node(Kind::kMul, {a, b});
  return balls_agree(product, node(Kind::kFunction, {product}, "abs"));
}

Expr at_a_point(const Expr& e) {
  if (e.kind == Kind::kSymbol || (e.kind == Kind::kFunction && e.text.starts_with("call "))) {
    size_t hash = 7;
    for (const char c : canonical(e)) hash = hash * 31 + static_cast<unsigned char>(c);
    return number(std::to_string(hash % 89 + 3) + "/7");
  }
  Expr result{e.kind, e.text, {}};
  for (const Expr& arg : e.args) result.args.push_back(at_a_point(arg));
  return result;
}

}  // namespace assay::math
