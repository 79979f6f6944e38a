#include "scorers/math/equal.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "scorers/math/calendar.h"
#include "scorers/math/lexer.h"
#include "scorers/math/matrix.h"
#include "scorers/math/parser.h"

namespace assay::math {
namespace {

constexpr size_t kMostBytes = 10'000;
constexpr size_t kMostElements = 200;

Decision decide(bool equal, const char* rule) {
  return {equal ? Truth::kEqual : Truth::kDifferent, rule};
}

Decision compare_values(const Expr& a, const Expr& b);

bool is_set(const Expr& e) {
  return e.kind == Kind::kSequence && (e.text == "{}" || e.text == ",,");
}
bool is_interval(const Expr& e) {
  return e.kind == Kind::kSequence && e.args.size() == 2 && !is_set(e) && e.text != "::";
}

bool has_plus_minus(const Expr& e) {
  if (e.kind == Kind::kPlusMinus) return true;
  return std::any_of(e.args.begin(), e.args.end(), has_plus_minus);
}

// e with every ± as its first or as its second reading.
Expr with_sign(const Expr& e, bool second) {
  Expr result{e.kind, e.text, {}};
  for (const Expr& arg : e.args) result.args.push_back(with_sign(arg, second));
  if (e.kind != Kind::kPlusMinus) return result;
  std::vector<Expr>& args = result.args;
  Expr last = second ? node(Kind::kNeg, {std::move(args.back())}) : std::move(args.back());
  if (args.size() == 1) return last;
  return node(Kind::kAdd, {std::move(args[0]), std::move(last)});
}

// The elements of a set, a bare list or a value with ±.
std::vector<Expr> elements_of(const Expr& e) {
  std::vector<Expr> out;
  if (is_set(e)) {
    for (const Expr& arg : e.args) {
      for (Expr& each : elements_of(arg)) out.push_back(std::move(each));
    }
  } else if (has_plus_minus(e)) {
    out.push_back(with_sign(e, false));
    out.push_back(with_sign(e, true));
  } else {
    out.push_back(e);
  }
  return out;
}

// All elements of one in the other, in any order; equality is transitive, so greedy matching is
// enough.
Decision compare_sets(const std::vector<Expr>& a, const std::vector<Expr>& b, const char* rule) {
  if (a.size() > kMostElements || b.size() > kMostElements) return {Truth::kUnknown, "undecided"};
  if (a.size() != b.size()) return decide(false, rule);
  std::vector<bool> taken(b.size());
  bool unknown = false;
  for (const Expr& left : a) {
    bool found = false, maybe = false;
    for (size_t i = 0; i < b.size() && !found; ++i) {
      if (taken[i]) continue;
      const Truth truth = compare_values(left, b[i]).truth;
      found = truth == Truth::kEqual;
      maybe = maybe || truth == Truth::kUnknown;
      if (found) taken[i] = true;
    }
    if (!found && !maybe) return decide(false, rule);
    unknown = unknown || !found;
  }
  return unknown ? Decision{Truth::kUnknown, "undecided"} : decide(true, rule);
}

Decision compare_in_order(const std::vector<Expr>& a, const std::vector<Expr>& b,
                          const char* rule) {
  if (a.size() != b.size()) return decide(false, rule);
  bool unknown = false;
  for (size_t i = 0; i < a.size(); ++i) {
    const Truth truth = compare_values(a[i], b[i]).truth;
    if (truth == Truth::kDifferent) return decide(false, rule);
    unknown = unknown || truth == Truth::kUnknown;
  }
  return unknown ? Decision{Truth::kUnknown, "undecided"} : decide(true, rule);
}

Expr difference(const Expr& a, const Expr& b) {
  return node(Kind::kAdd, {a, node(Kind::kNeg, {b})});
}

// Of a chain a < b < c with b in the middle, or of one inequality, the interval of b.
std::optional<Expr> interval_of(const Expr& e) {
  if (e.kind != Kind::kRelation) return std::nullopt;
  const auto is_name = [](const Expr& x) { return x.kind == Kind::kSymbol; };
  const auto less = [](char c) { return c == '<' || c == 'l'; };
  const auto more = [](char c) { return c == '>' || c == 'g'; };
  const Expr infinity = node(Kind::kInfinity, {});
  const auto make = [](bool open, Expr low, Expr high, bool open_end) {
    return node(Kind::kSequence, {std::move(low), std::move(high)},
                std::string(open ? "(" : "[") + (open_end ? ")" : "]"));
  };
  const char first = e.text[0];
  if (e.text.size() == 1) {
    const bool strict = first == '<' || first == '>';
    const bool name_left = is_name(e.args[0]);
    if (!name_left && !is_name(e.args[1])) return std::nullopt;
    if (!less(first) && !more(first)) return std::nullopt;
    const Expr& bound = e.args[name_left ? 1 : 0];
    if (less(first) == name_left) return make(true, node(Kind::kNeg, {infinity}), bound, strict);
    return make(strict, bound, infinity, true);
  }
  if (e.text.size() != 2 || !is_name(e.args[1])) return std::nullopt;
  const char second = e.text[1];
  if (less(first) && less(second)) {
    return make(first == '<', e.args[0], e.args[2], second == '<');
  }
  if (more(first) && more(second)) {
    return make(second == '>', e.args[2], e.args[0], first == '>');
  }
  return std::nullopt;
}

// Something that stands for a value: x, f(x), x_1, (x, y).
bool is_name(const Expr& e) {
  if (e.kind == Kind::kSymbol || e.kind == Kind::kConstant) return true;
  if (e.kind == Kind::kFunction) return e.text.starts_with("call ") || e.text == "'";
  if (e.kind == Kind::kSequence && e.text == "()") {
    return std::all_of(e.args.begin(), e.args.end(), is_name);
  }
  return false;
}

bool has_name(const Expr& e) {
  return e.kind == Kind::kSymbol || std::any_of(e.args.begin(), e.args.end(), has_name);
}

// "x = 5" says 5; "x ∈ S" says S; "x = 5 = 10/2" its last side; what follows ≈ says less.
Expr value_of(const Expr& e) {
  if (e.kind != Kind::kRelation) return e;
  std::vector<Expr> sides = e.args;
  std::string operators = e.text;
  if (const size_t about = operators.find('~'); about != std::string::npos) {
    if (about == 0 && is_name(sides[0])) return sides[1];
    operators.resize(about);
    sides.resize(about + 1);
  }
  if (operators.empty()) return sides[0];
  const bool values = std::none_of(sides.begin(), sides.end(), has_name);
  const bool equations =
      operators.find_first_not_of("=e") == std::string::npos && is_name(sides[0]);
  if (equations) return sides.back();
  // A chain of equal numbers, without a name before it.
  if ((operators.size() > 1 || values) && operators.find_first_not_of('=') == std::string::npos) {
    return sides.back();
  }
  return node(Kind::kRelation, std::move(sides), std::move(operators));
}

char mirrored(char sign) {
  switch (sign) {
    case '<':
      return '>';
    case '>':
      return '<';
    case 'l':
      return 'g';
    case 'g':
      return 'l';
    default:
      return sign;
  }
}

Decision compare_single_relations(const Expr& a, const Expr& b) {
  const char s = a.text[0], t = b.text[0];
  if (s != t && s != mirrored(t)) return decide(false, "relation");
  if (s == 'e') return compare_in_order(a.args, b.args, "relation");
  const Expr p = difference(a.args[0], a.args[1]), q = difference(b.args[0], b.args[1]);
  const Expr p_there = at_a_point(p), q_there = at_a_point(q);
  const Decision multiple =
      compare_scalars(node(Kind::kMul, {p, q_there}), node(Kind::kMul, {q, p_there}));
  if (multiple.truth != Truth::kEqual) return {multiple.truth, "relation"};
  if (s == '=' || s == 'n') return decide(true, "relation");
  return decide(is_positive_ratio(p_there, q_there) == (s == t), "relation");
}

Decision compare_relations(const Expr& a, const Expr& b) {
  // z = 1 + 1 = 2 says z = 2
  const auto ends = [](Expr e) {
    if (const size_t about = e.text.find('~'); about != std::string::npos && about > 0) {
      e.text.resize(about);
      e.args.resize(about + 1);
    }
    if (e.text.size() < 2 || e.text.find_first_not_of('=') != std::string::npos) return e;
    return node(Kind::kRelation, {e.args.front(), e.args.back()}, "=");
  };
  const Expr x = ends(a), y = ends(b);
  if (x.text.size() == 1 && y.text.size() == 1) return compare_single_relations(x, y);
  if (x.text == y.text) return compare_in_order(x.args, y.args, "relation");
  Expr turned = y;
  std::reverse(turned.args.begin(), turned.args.end());
  std::reverse(turned.text.begin(), turned.text.end());
  for (char& sign : turned.text) sign = mirrored(sign);
  if (x.text == turned.text) return compare_in_order(x.args, turned.args, "relation");
  return decide(false, "relation");
}

bool has_base(const Expr& e) {
  return e.kind == Kind::kBased || std::any_of(e.args.begin(), e.args.end(), has_base);
}

// Digits in a base as if they were in base 10.
Expr without_bases(const Expr& e) {
  if (e.kind == Kind::kBased) {
    const size_t point = e.text.find('.');
    if (point == std::string::npos) return number(e.text);
    const std::string places = e.text.substr(point + 1);
    return number(e.text.substr(0, point) + places + "/1" + std::string(places.size(), '0'));
  }
  Expr result{e.kind, e.text, {}};
  for (const Expr& arg : e.args) result.args.push_back(without_bases(arg));
  return result;
}

// Its digits in base 10; none if a digit is too large.
std::optional<Expr> based_value(const Expr& e) {
  const std::string& base_text = e.args[0].text;
  if (base_text.empty() || base_text.size() > 2 || e.text.size() > 11) return std::nullopt;
  if (base_text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const long base = std::stol(base_text);
  long value = 0;
  for (const char c : e.text) {
    if (c < '0' || c > '9' || c - '0' >= base) return std::nullopt;
    value = value * base + (c - '0');
  }
  return number(std::to_string(value));
}

// The letters and digits of words: "(C)" is "c".
std::string bare_words(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c + 32);
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               static_cast<unsigned char>(c) >= 0x80) {
      out += c;
    }
  }
  return out;
}

Decision compare_unions(const Expr& a, const Expr& b) {
  const auto parts = [](const Expr& e) {
    std::vector<Expr> out;
    if (e.kind == Kind::kUnion) {
      for (const Expr& arg : e.args) out.push_back(arg);
    } else {
      out.push_back(e);
    }
    return out;
  };
  return compare_sets(parts(a), parts(b), "interval");
}

Decision compare_values(const Expr& a, const Expr& b) {
  if (a.kind == Kind::kRelation && b.kind == Kind::kRelation) return compare_relations(a, b);
  if (a.kind == Kind::kRelation || b.kind == Kind::kRelation) {
    const bool first = a.kind == Kind::kRelation;
    const Expr& other = first ? b : a;
    if (is_interval(other)) {
      const auto interval = interval_of(first ? a : b);
      return interval ? compare_values(*interval, other) : decide(false, "interval");
    }
    return decide(false, "relation");
  }
  if (a.kind == Kind::kText || b.kind == Kind::kText) {
    return decide(bare_words(canonical(a)) == bare_words(canonical(b)), "words");
  }
  if (a.kind == Kind::kUnion || b.kind == Kind::kUnion) return compare_unions(a, b);
  if (has_matrix(a) || has_matrix(b)) {
    const auto x = matrix_value(a), y = matrix_value(b);
    if (!x || !y) return decide(canonical(a) == canonical(b), "form");
    return compare_in_order(x->args, y->args, "matrix");
  }
  if (is_set(a) || is_set(b) || has_plus_minus(a) || has_plus_minus(b)) {
    const bool a_tuple = a.kind == Kind::kSequence && !is_set(a);
    const bool b_tuple = b.kind == Kind::kSequence && !is_set(b);
    if (!a_tuple && !b_tuple) return compare_sets(elements_of(a), elements_of(b), "set");
  }
  if (a.kind == Kind::kSequence || b.kind == Kind::kSequence) {
    if (a.kind != b.kind || a.text != b.text) return decide(false, "tuple");
    return compare_in_order(a.args, b.args, a.text == "()" ? "tuple" : "interval");
  }
  if (has_base(a) != has_base(b)) return compare_scalars(without_bases(a), without_bases(b));
  if (a.kind == Kind::kBased && b.kind == Kind::kBased) {
    if (canonical(a) == canonical(b)) return decide(true, "base");
    const auto x = based_value(a), y = based_value(b);
    return x && y ? compare_scalars(*x, *y) : decide(false, "base");
  }
  return compare_scalars(a, b);
}

// Text as people compare it: without what does not show.
std::string plain_form(std::string_view text) {
  std::string out;
  for (const Token& token : tokenize(text)) {
    out += token.kind == TokenKind::kCommand ? "\\" + token.text : token.text;
    out += token.repeating;
    out += ' ';
  }
  return out;
}

// What is left of a text when commands and signs are gone: "june20".
std::string words_of(std::string_view text) {
  std::string out;
  for (const Token& token : tokenize(text)) {
    if (token.kind != TokenKind::kCommand) out += bare_words(token.text);
  }
  return out;
}

// "1,22" among values is a decimal as some countries write it.
std::optional<Expr> comma_decimal(const Expr& e) {
  if (e.kind != Kind::kSequence || e.text != ",," || e.args.size() != 2) return std::nullopt;
  std::string whole = e.args[0].text;
  const bool negative = e.args[0].kind == Kind::kNeg && e.args[0].args[0].kind == Kind::kNumber;
  if (negative) whole = e.args[0].args[0].text;
  if (!negative && e.args[0].kind != Kind::kNumber) return std::nullopt;
  if (e.args[1].kind != Kind::kNumber) return std::nullopt;
  const std::string& places = e.args[1].text;
  if ((whole + places).find('/') != std::string::npos) return std::nullopt;
  Expr value = number(whole + places + "/1" + std::string(places.size(), '0'));
  return negative ? node(Kind::kNeg, {std::move(value)}) : std::move(value);
}

// Digits of a decimal that is written with ten significant ones or more, and its places; else none.
std::optional<std::pair<std::string, std::string>> long_decimal(const Expr& e) {
  if (e.kind == Kind::kNeg) {
    auto inside = long_decimal(e.args[0]);
    if (inside) inside->first.insert(0, "-");
    return inside;
  }
  const size_t bar = e.text.find("/10");
  if (e.kind != Kind::kNumber || bar == std::string::npos) return std::nullopt;
  const size_t first = std::min(e.text.find_first_not_of('0'), bar);
  if (bar - first < 10) return std::nullopt;
  return std::pair(e.text.substr(first, bar - first), e.text.substr(bar + 1));
}

// What a calculator shows of a number: its digits, the last of them rounded or cut.
bool is_rounded(const Expr& exact, const Expr& shown) {
  const auto decimal = long_decimal(shown);
  if (!decimal || long_decimal(exact)) return false;
  const bool negative = decimal->first[0] == '-';
  const Expr scaled_up = node(Kind::kMul, {exact, number(decimal->second)});
  const Expr size = negative ? node(Kind::kNeg, {scaled_up}) : scaled_up;
  const Expr digits = number(decimal->first.substr(negative ? 1 : 0));
  for (const char* shift : {"0", "1/2"}) {
    const Expr sum = node(Kind::kAdd, {size, number(shift)});
    if (balls_agree(node(Kind::kFunction, {sum}, "floor"), digits)) return true;
  }
  return false;
}

// What a strict reading calls different, and a reader would not.
std::optional<const char*> same_to_a_reader(const Expr& x, bool x_percent, const Expr& y,
                                            bool y_percent) {
  if (x_percent != y_percent) {  // 65 % is 65, as answers go, and 65/100
    const Expr hundredth = node(Kind::kDiv, {x_percent ? x : y, number("100")});
    if (compare_values(hundredth, x_percent ? y : x).truth == Truth::kEqual) return "percent";
  }
  if (is_rounded(x, y) || is_rounded(y, x)) return "rounded";
  // (1, 3) and 1, 3
  if (x.kind == Kind::kSequence && y.kind == Kind::kSequence &&
      ((x.text == "()" && y.text == ",,") || (x.text == ",," && y.text == "()")) &&
      compare_in_order(x.args, y.args, "tuple").truth == Truth::kEqual) {
    return "tuple";
  }
  for (const auto& [list, value] : {std::pair(&x, &y), std::pair(&y, &x)}) {
    const auto decimal = comma_decimal(*list);
    if (decimal && value->kind != Kind::kSequence &&
        compare_values(*decimal, *value).truth == Truth::kEqual) {
      return "decimal comma";
    }
  }
  // 3:4 and 3/4
  for (const auto& [ratio, value] : {std::pair(&x, &y), std::pair(&y, &x)}) {
    if (ratio->kind == Kind::kSequence && ratio->text == "::" && ratio->args.size() == 2 &&
        value->kind != Kind::kSequence &&
        compare_values(node(Kind::kDiv, ratio->args), *value).truth == Truth::kEqual) {
      return "ratio";
    }
  }
  return std::nullopt;
}

}  // namespace

Decision compare(std::string_view gold, std::string_view answer, Reading reading) {
  if (gold == answer) return decide(true, "same");
  if (gold.size() > kMostBytes || answer.size() > kMostBytes) {
    return {Truth::kUnknown, "too long"};
  }
  const Decision calendar = compare_calendar(gold, answer, reading);
  if (calendar.rule[0] != '\0') return calendar;
  Unreadable why_gold{}, why_answer{};
  const auto a = parse(gold, why_gold), b = parse(answer, why_answer);
  const std::string gold_words = words_of(gold);
  const bool same_words = !gold_words.empty() && gold_words == words_of(answer);
  if (!a || !b) {
    if ((!a && why_gold == Unreadable::kTooComplex) ||
        (!b && why_answer == Unreadable::kTooComplex)) {
      return {Truth::kUnknown, "too complex"};
    }
    const bool words = !gold_words.empty() && same_words &&
                       (a   ? a->value.kind
                        : b ? b->value.kind
                            : Kind::kText) == Kind::kText;
    return decide(words || plain_form(gold) == plain_form(answer), words ? "words" : "form");
  }
  if (same_words && (a->value.kind == Kind::kText || b->value.kind == Kind::kText)) {
    return decide(true, "words");
  }
  // A choice: D, (d), \text{D}
  const auto is_letter = [](const Expr& e) {
    return e.kind == Kind::kSymbol || e.kind == Kind::kConstant || e.kind == Kind::kText;
  };
  if (is_letter(a->value) && is_letter(b->value)) {
    const std::string x = bare_words(a->value.text), y = bare_words(b->value.text);
    if (x.size() == 1 && x == y && a->value.text[0] != '\\' && b->value.text[0] != '\\') {
      return decide(true, "letter");
    }
  }
  if (!a->unit.empty() && !b->unit.empty() && a->unit != b->unit && a->value.kind != Kind::kText &&
      b->value.kind != Kind::kText) {
    const auto plain = [](const std::string& unit) { return unit == "unit" || unit == "deg"; };
    if (!plain(a->unit) && !plain(b->unit)) return decide(false, "unit");
  }
  const Expr x = a->value.kind == Kind::kRelation && b->value.kind == Kind::kRelation
                     ? a->value
                     : value_of(a->value);
  const Expr y = a->value.kind == Kind::kRelation && b->value.kind == Kind::kRelation
                     ? b->value
                     : value_of(b->value);
  if (canonical(x) == canonical(y)) return decide(true, "form");
  Decision decision = compare_values(x, y);
  if (decision.truth == Truth::kDifferent && reading == Reading::kReader) {
    const auto rule = same_to_a_reader(x, a->unit == "%", y, b->unit == "%");
    if (rule) return decide(true, *rule);
  }
  if (decision.truth == Truth::kDifferent && a->value.kind == Kind::kRelation &&
      b->value.kind == Kind::kRelation) {
    const Expr p = value_of(a->value), q = value_of(b->value);
    if (p.kind != Kind::kRelation && q.kind != Kind::kRelation && a->value.text == "=" &&
        b->value.text == "=" && canonical(a->value.args[0]) == canonical(b->value.args[0])) {
      return compare_values(p, q);  // x = {…}, which is no equation of values
    }
  }
  return decision;
}

std::string read_form(std::string_view answer) {
  Unreadable why{};
  const auto parsed = parse(answer, why);
  if (!parsed) return std::string(answer);
  return canonical(parsed->value) + (parsed->unit.empty() ? "" : " " + parsed->unit);
}

}  // namespace assay::math
