// A mathematical answer as a tree. Nothing is evaluated: what is equal is decided in equal.h.
#pragma once

#include <string>
#include <vector>

namespace assay::math {

enum class Kind {
  kNumber,     // text: a rational, "5", "5/2" (not always in lowest terms)
  kSymbol,     // text: a variable, "x", "x_1"
  kConstant,   // text: "pi", "e", "i"
  kInfinity,   // positive
  kAdd,        // of any number
  kMul,        // of any number
  kDiv,        // numerator, denominator
  kNeg,        // one
  kPow,        // base, exponent
  kFunction,   // text: its name; "log" may have a base first
  kPlusMinus,  // of one or two
  kBased,      // text: digits; argument: the base that they are in
  kSequence,   // text: its delimiters, "(]", "{}", or ",," for a bare list, "::" for a ratio
  kUnion,      // of sets
  kRelation,   // text: operators, one character each of = < > l g n (≤ ≥ ≠) e (∈) ~ (≈)
  kMatrix,     // arguments: rows, sequences
  kText        // text: words, lower case
};

struct Expr {
  Kind kind = Kind::kText;
  std::string text;
  std::vector<Expr> args;

  bool is_number(const char* value) const { return kind == Kind::kNumber && text == value; }
};

Expr number(std::string text);
Expr node(Kind kind, std::vector<Expr> args, std::string text = "");

// The same text for trees that differ only in the order of sums, products and sets.
std::string canonical(const Expr& e);

}  // namespace assay::math
