#include "scorers/math/program.h"

namespace assay::math {
namespace {

struct Named {
  const char* name;
  math_op op;
};
constexpr Named kFunctions[] = {
    {"sqrt", MATH_SQRT},   {"log", MATH_LOG},   {"sin", MATH_SIN},
    {"cos", MATH_COS},     {"tan", MATH_TAN},   {"asin", MATH_ASIN},
    {"acos", MATH_ACOS},   {"atan", MATH_ATAN}, {"sinh", MATH_SINH},
    {"cosh", MATH_COSH},   {"tanh", MATH_TANH}, {"abs", MATH_ABS},
    {"floor", MATH_FLOOR}, {"ceil", MATH_CEIL}, {"factorial", MATH_FACTORIAL}};

// Whether a power is one of numeric.h's rational ones.
bool small_integer(const Expr& e) {
  if (e.kind == Kind::kNeg) return small_integer(e.args[0]);
  return e.kind == Kind::kNumber && e.text.size() <= 2 && e.text.find('/') == std::string::npos;
}

// A whole number of at most `most`; else −1.
long small_whole(const Expr& e, long most) {
  if (e.kind != Kind::kNumber || e.text.size() > 3 ||
      e.text.find_first_not_of("0123456789") != std::string::npos) {
    return -1;
  }
  const long value = std::stol(e.text);
  return value <= most ? value : -1;
}

// from · (from + 1) · … · to
Expr product_of(long from, long to) {
  std::vector<Expr> factors = {number("1")};
  for (long i = from; i <= to; ++i) factors.push_back(number(std::to_string(i)));
  return node(Kind::kMul, std::move(factors));
}

}  // namespace

int Variables::index_of(const std::string& name) {
  return indexes_.try_emplace(name, static_cast<int>(indexes_.size())).first->second;
}

bool Program::variable(const Expr& e, Variables& variables) {
  push(MATH_VARIABLE, variables.index_of(canonical(e)));
  return true;
}

bool Program::build_args(const Expr& e, Atoms atoms, Variables& variables) {
  for (const Expr& arg : e.args) {
    if (!build(arg, atoms, variables)) return false;
  }
  return true;
}

bool Program::build(const Expr& e, Atoms atoms, Variables& variables) {
  switch (e.kind) {
    case Kind::kNumber:
      numbers_.push_back(e.text);
      push(MATH_NUMBER, 0, numbers_.back().c_str());
      return true;
    case Kind::kSymbol:
      return variable(e, variables);
    case Kind::kConstant:
      has_functions_ = true;
      if (atoms == Atoms::kFunctions) return variable(e, variables);
      push(e.text == "pi" ? MATH_PI : e.text == "e" ? MATH_E : MATH_I);
      return true;
    case Kind::kAdd:
    case Kind::kMul:
      if (!build_args(e, atoms, variables)) return false;
      for (size_t i = 1; i < e.args.size(); ++i) {
        push(e.kind == Kind::kAdd ? MATH_ADD : MATH_MUL);
      }
      return true;
    case Kind::kDiv:
      if (!build_args(e, atoms, variables)) return false;
      push(MATH_DIV);
      return true;
    case Kind::kNeg:
      if (!build_args(e, atoms, variables)) return false;
      push(MATH_NEG);
      return true;
    case Kind::kPow:
      if (!small_integer(e.args[1])) {
        has_functions_ = true;
        if (atoms == Atoms::kFunctions) return variable(e, variables);
      }
      if (!build_args(e, atoms, variables)) return false;
      push(MATH_POW);
      return true;
    case Kind::kFunction:
      return build_function(e, atoms, variables);
    default:
      return false;
  }
}

bool Program::build_function(const Expr& e, Atoms atoms, Variables& variables) {
  constexpr long kMostFactors = 90;
  if (e.text == "factorial") {
    const long n = small_whole(e.args[0], kMostFactors);
    if (n >= 0) return build(product_of(2, n), atoms, variables);
  }
  if (e.text == "binom") {
    const long n = small_whole(e.args[0], 999), k = small_whole(e.args[1], kMostFactors);
    if (n >= 0 && k >= 0) {
      const Expr value = node(Kind::kDiv, {product_of(n - k + 1, n), product_of(2, k)});
      return build(k > n ? number("0") : value, atoms, variables);
    }
  }
  has_functions_ = true;
  if (atoms == Atoms::kFunctions) return variable(e, variables);
  if (e.text == "log" && e.args.size() == 2) {
    if (!build_args(e, atoms, variables)) return false;
    push(MATH_LOG_BASE);
    return true;
  }
  if (e.text == "binom") {
    const Expr &n = e.args[0], &k = e.args[1];
    const Expr rest = node(Kind::kAdd, {n, node(Kind::kNeg, {k})});
    const auto factorial = [](const Expr& x) { return node(Kind::kFunction, {x}, "factorial"); };
    return build(
        node(Kind::kDiv, {factorial(n), node(Kind::kMul, {factorial(k), factorial(rest)})}), atoms,
        variables);
  }
  for (const Named& each : kFunctions) {
    if (e.text != each.name) continue;
    if (!build_args(e, atoms, variables)) return false;
    push(each.op);
    return true;
  }
  return variable(e, variables);  // f(x), ∑, a vector's name
}

}  // namespace assay::math
