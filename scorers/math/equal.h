// Whether two mathematical answers are the same.
//
// Both are read by parse(); then decided, in this order: the same text; the same form; numbers,
// exactly (a decimal is the number that its digits say: 0.333 is not 1/3); rational functions,
// exactly; constants by proof (Calcium) or, where that does not decide, by balls of up to 700 bits;
// functions by balls at random points. Sets and bare lists have no order, tuples, intervals and
// matrices do; ± is both values. Equations are equal when one is a multiple of the other,
// inequalities when it is a positive one.
//   As a reader would, and not for classes of answers, where it would not be transitive: 65 % is 65
//   and 65/100; a decimal of ten digits or more is what rounds to it; (1, 3) is 1, 3; 3:4 is 3/4;
//   1,25 is 1.25.
//   Not compared: a unit, a currency, % or degrees, unless both have one; a base that only one
//   names; "x =" before a value.
#pragma once

#include <string>
#include <string_view>

#include "scorers/math/scalar.h"

namespace assay::math {

enum class Reading {
  kReader,  // a verdict: what a reader would call the same is
  kStrict   // classes of answers: transitive
};

// Of answers without the text around them; symmetric. Texts over 10,000 bytes and what is nested
// too deep are kUnknown.
Decision compare(std::string_view gold, std::string_view answer,
                 Reading reading = Reading::kReader);

// How an answer is read, for people; its text where it cannot be.
std::string read_form(std::string_view answer);

}  // namespace assay::math
