// An expression in the postfix form that numeric.h takes.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "scorers/math/expr.h"
#include "scorers/math/numeric.h"

namespace assay::math {

// Variables of expressions that are compared with each other.
class Variables {
 public:
  int index_of(const std::string& name);
  int count() const { return static_cast<int>(indexes_.size()); }

 private:
  std::map<std::string, int> indexes_;
};

enum class Atoms {
  kFunctions,  // whatever is no rational operation is a variable: proves equality only
  kVariables   // functions are functions; only what has no value is a variable
};

class Program {
 public:
  // False where the expression is no value: sets, relations, words, infinity.
  bool build(const Expr& e, Atoms atoms, Variables& variables);

  math_program view() const { return {steps_.data(), steps_.size()}; }
  bool has_functions() const { return has_functions_; }

 private:
  void push(math_op op, int index = 0, const char* number = nullptr) {
    steps_.push_back({op, index, number});
  }
  bool variable(const Expr& e, Variables& variables);
  bool build_function(const Expr& e, Atoms atoms, Variables& variables);
  bool build_args(const Expr& e, Atoms atoms, Variables& variables);

  std::vector<math_step> steps_;
  std::deque<std::string> numbers_;
  bool has_functions_ = false;
};

}  // namespace assay::math
