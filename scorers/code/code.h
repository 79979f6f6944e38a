// Scores programs by running them in the sandbox.
#pragma once

#include <string>
#include <string_view>

#include "scorers/scorer.h"

namespace assay {

// HumanEval: the item's fields "prompt", "test" (defines check(candidate)) and "entry_point".
// HumanEval+: "prompt", "entry_point", "base_input", "plus_input", "atol" and the gold, the
// canonical solution, whose outputs are computed once. Programs with standard input (LiveCodeBench,
// Codeforces, …): "tests", a JSON list of {"input", "output"}; with a function: {"fn_name",
// "inputs", "outputs"}. Stops at the first test that fails, or runs all, which has the same verdict
// and the value "tests_passed", the share of the tests. The rule of a verdict is what became of the
// program; an answer is "passed" or "failed". A number in the item's field "difficulty" becomes the
// value of that name; a program that ran without a jail has the value "bare".
class CodeScorer : public Scorer {
 public:
  enum class Kind { kHumanEval, kHumanEvalPlus, kTests };
  explicit CodeScorer(Kind kind, bool all_tests = false) : kind_(kind), all_tests_(all_tests) {}
  std::string id() const override;
  std::string rules() const override {
    return "passed, wrong, exception, ended, cpu, wall, memory, output, forbidden, crash, compile, "
           "no_code";
  }
  Verdict score(const Item& item, const Completion& completion) const override;
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }

 private:
  Verdict judged(const Item& item, const Completion& completion) const;
  Kind kind_;
  bool all_tests_;
};

// Whether this machine can run programs; the error says why not.
Status can_run_programs();

// LiveCodeBench's comparison of what a program wrote with what was expected: line by line, without
// white space at the ends; lines of numbers by value.
bool same_output(std::string_view output, std::string_view expected);

}  // namespace assay
