// LaTeX or plain text of an answer as tokens: spacing, sizes and \left … \right are gone, numbers
// are whole.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::math {

enum class TokenKind {
  kNumber,   // digits, at most one point; thousands separators are gone
  kLetter,   // one letter
  kCommand,  // a LaTeX command without its backslash, or a function's name in plain text
  kSign,     // one character
  kWords,    // \text{…} or a word, lower case
  kUnit,     // a unit, a currency, %, degrees; text: its usual name
  kEnd
};

struct Token {
  TokenKind kind;
  std::string text;
  std::string repeating;  // digits of a number that repeat behind it

  bool is(char sign) const { return kind == TokenKind::kSign && text[0] == sign; }
  bool is(std::string_view command) const { return kind == TokenKind::kCommand && text == command; }
};

// Linear time; the last token is kEnd.
std::vector<Token> tokenize(std::string_view text);

// The usual name of a unit ("centimeters" is "cm"), or empty.
std::string unit_name(std::string_view word);

}  // namespace assay::math
