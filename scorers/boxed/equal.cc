#include "scorers/boxed/equal.h"

#include <re2/re2.h>

#include <numeric>
#include <optional>
#include <vector>

#include "harness/base/text.h"

namespace assay {
namespace {

__extension__ using Int128 = __int128;

constexpr size_t kMaxAnswerBytes = 10'000;  // longer ones are compared as they are

void strip_outer(std::string& text, std::string_view open, std::string_view close) {
  if (text.size() >= open.size() + close.size() && text.starts_with(open) &&
      text.ends_with(close)) {
    text = text.substr(open.size(), text.size() - open.size() - close.size());
  }
}

// \frac12 → \frac{1}{2}, \sqrt3 → \sqrt{3}
std::string brace_arguments(std::string text) {
  static const re2::RE2 kBothBare(R"(\\frac([0-9a-zA-Z])([0-9a-zA-Z]))");
  static const re2::RE2 kFirstBare(R"(\\frac([0-9a-zA-Z])\{)");
  static const re2::RE2 kSecondBare(R"(\\frac\{([^{}]*)\}([0-9a-zA-Z]))");
  static const re2::RE2 kRoot(R"(\\sqrt([0-9a-zA-Z]))");
  re2::RE2::GlobalReplace(&text, kBothBare, R"(\\frac{\1}{\2})");
  re2::RE2::GlobalReplace(&text, kFirstBare, R"(\\frac{\1}{)");
  re2::RE2::GlobalReplace(&text, kSecondBare, R"(\\frac{\1}{\2})");
  re2::RE2::GlobalReplace(&text, kRoot, R"(\\sqrt{\1})");
  return text;
}

// An exact rational with numerator and denominator in 63 bits.
struct Rational {
  int64_t numerator, denominator;  // lowest terms, denominator > 0
};

std::optional<Rational> make_rational(Int128 numerator, Int128 denominator) {
  if (denominator == 0) return std::nullopt;
  if (denominator < 0) {
    numerator = -numerator;
    denominator = -denominator;
  }
  Int128 a = numerator < 0 ? -numerator : numerator, b = denominator;
  while (b != 0) {
    const Int128 rest = a % b;
    a = b;
    b = rest;
  }
  numerator /= a;
  denominator /= a;
  if (numerator > INT64_MAX || numerator < -INT64_MAX || denominator > INT64_MAX)
    return std::nullopt;
  return Rational{static_cast<int64_t>(numerator), static_cast<int64_t>(denominator)};
}

// "-12", "3.50", ".5"
std::optional<Rational> parse_decimal(const std::string& text) {
  static const re2::RE2 kDecimal(R"(([+-]?)(\d*)(?:\.(\d*))?)");
  std::string sign, whole, fraction;
  if (!re2::RE2::FullMatch(text, kDecimal, &sign, &whole, &fraction)) return std::nullopt;
  std::string digits = whole;
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (whole.empty() && text.find_first_of("0123456789") == std::string::npos) return std::nullopt;
  digits += fraction;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.size() > 18 || fraction.size() > 18) return std::nullopt;
  Int128 denominator = 1;
  for (size_t i = 0; i < fraction.size(); ++i) denominator *= 10;
  const int64_t value = digits.empty() ? 0 : std::stoll(digits);
  return make_rational(sign == "-" ? -Int128{value} : Int128{value}, denominator);
}

// A decimal, a/b or \frac{a}{b} of decimals, with a sign, of a normalised text.
std::optional<Rational> parse_number(const std::string& text) {
  if (const auto decimal = parse_decimal(text)) return decimal;
  static const re2::RE2 kFraction(
      R"(([+-]?)\\frac\{([^{}]*)\}\{([^{}]*)\}|([^/{}\\]*)/([^/{}\\]*))");
  std::string sign, top, bottom, left, right;
  if (!re2::RE2::FullMatch(text, kFraction, &sign, &top, &bottom, &left, &right))
    return std::nullopt;
  const auto a = parse_decimal(top.empty() ? left : top);
  const auto b = parse_decimal(bottom.empty() ? right : bottom);
  if (!a || !b) return std::nullopt;
  Int128 numerator = Int128{a->numerator} * b->denominator;
  if (sign == "-") numerator = -numerator;
  return make_rational(numerator, Int128{a->denominator} * b->numerator);
}

// The elements of "(a,b)", "[a,b]", "\{a,b\}" or "a,b", split at commas outside brackets; nothing
// for a single value.
struct Bracketed {
  char open = ' ', close = ' ';
  std::vector<std::string> elements;
};

std::optional<Bracketed> parse_list(const std::string& text) {
  Bracketed list;
  std::string inside = text;
  const auto opens = [](char c) { return c == '(' || c == '[' || c == '{'; };
  const auto closes = [](char c) { return c == ')' || c == ']' || c == '}'; };
  if (text.size() > 2 && opens(text.front()) && closes(text.back())) {
    list.open = text.front();
    list.close = text.back();
    inside = text.substr(1, text.size() - 2);
  } else if (text.size() > 4 && text.starts_with("\\{") && text.ends_with("\\}")) {
    list.open = list.close = '{';
    inside = text.substr(2, text.size() - 4);
  }
  int depth = 0;
  std::string element;
  for (const char c : inside) {
    if (opens(c)) ++depth;
    if (closes(c) && --depth < 0) return std::nullopt;
    if (c == ',' && depth == 0) {
      list.elements.push_back(std::move(element));
      element.clear();
    } else {
      element += c;
    }
  }
  list.elements.push_back(std::move(element));
  if (depth != 0 || list.elements.size() < 2) return std::nullopt;
  return list;
}

Comparison compare_normalized(const std::string& gold, const std::string& answer) {
  const auto a = parse_number(gold), b = parse_number(answer);
  if (a && b) {
    return {a->numerator == b->numerator && a->denominator == b->denominator, "number"};
  }
  if (a || b) return {gold == answer, "string"};
  const auto left = parse_list(gold), right = parse_list(answer);
  if (!left || !right) return {gold == answer, "string"};
  if (left->open != right->open || left->close != right->close ||
      left->elements.size() != right->elements.size()) {
    return {false, "list"};
  }
  for (size_t i = 0; i < left->elements.size(); ++i) {
    const auto p = parse_number(left->elements[i]), q = parse_number(right->elements[i]);
    const bool same = p && q ? p->numerator == q->numerator && p->denominator == q->denominator
                             : left->elements[i] == right->elements[i];
    if (!same) return {false, "list"};
  }
  return {true, "list"};
}

// 1,234,567 → 1234567 at the begin of a text. White space tells a list: 32, 349 stays two numbers.
std::string join_thousands(std::string text) {
  static const re2::RE2 kThousands(R"(^([+-]?\d{1,3}(?:,\d{3})+)(?:$|[^\d,]))");
  re2::StringPiece number;
  if (!re2::RE2::PartialMatch(text, kThousands, &number)) return text;
  const size_t size = number.size();
  return replace_all(text.substr(0, size), ",", "") + text.substr(size);
}

}  // namespace

std::string normalize_latex(std::string_view original) {
  static const re2::RE2 kDelimiters(
      R"(\\(?:left|right|displaystyle|limits)\b|\\[!,;: ]|\\q?quad\b|~|\\\$|\$)");
  static const re2::RE2 kSpaces(R"(\s+)");
  static const re2::RE2 kUnitAfterNumber(
      R"(^([+-]?[\d.,{}/]*\d|[+-]?\\frac\{\d+\}\{\d+\})\\(?:text|mathrm|mbox|textrm)\{[^{}]*\}(?:\^\{?\d\}?)?$)");
  static const re2::RE2 kTextGroup(R"(\\(?:text|mathrm|mbox|textrm|textbf|mathbf)\{([^{}]*)\})");
  static const re2::RE2 kDegrees(R"(\^\{?\\circ\}?|\\degree\b|°|\\?%)");
  static const re2::RE2 kAssignment(R"(^[a-zA-Z](?:_\{?\w\}?)?=([^=]+)$)");
  static const re2::RE2 kThousands(R"((\d)\{,\}(\d{3}))");
  std::string text(trim(original));
  if (text.size() > kMaxAnswerBytes) return text;
  strip_outer(text, "\\(", "\\)");
  strip_outer(text, "\\[", "\\]");
  re2::RE2::GlobalReplace(&text, kDelimiters, "");
  for (const char* minus : {"−", "–"}) text = replace_all(std::move(text), minus, "-");
  re2::RE2::GlobalReplace(&text, R"(\\[dt]frac\b)", R"(\\frac)");
  re2::RE2::GlobalReplace(&text, R"(\\frac\s+(\d)\s+(\d))", R"(\\frac\1\2)");
  re2::RE2::GlobalReplace(&text, kThousands, R"(\1,\2)");
  text = join_thousands(std::string(trim(text)));
  re2::RE2::GlobalReplace(&text, kSpaces, "");
  while (text.size() > 1 && text.back() == '.') text.pop_back();
  text = brace_arguments(std::move(text));
  re2::RE2::Replace(&text, kUnitAfterNumber, R"(\1)");
  re2::RE2::GlobalReplace(&text, kTextGroup, R"(\1)");
  re2::RE2::GlobalReplace(&text, kDegrees, "");
  re2::RE2::Replace(&text, kAssignment, R"(\1)");
  return text;
}

Comparison compare_answers(std::string_view gold, std::string_view answer) {
  const std::string a = normalize_latex(gold), b = normalize_latex(answer);
  if (a.size() > kMaxAnswerBytes || b.size() > kMaxAnswerBytes) return {a == b, "string"};
  return compare_normalized(a, b);
}

}  // namespace assay
