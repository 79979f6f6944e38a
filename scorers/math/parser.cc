#include "scorers/math/parser.h"

#include <algorithm>

#include "scorers/math/lexer.h"

namespace assay::math {
namespace {

constexpr size_t kMostTokens = 3000;
constexpr int kMostDepth = 60;

// Thrown and caught within parse().
struct Failure {
  Unreadable why;
};

Expr fraction(Expr a, Expr b) { return node(Kind::kDiv, {std::move(a), std::move(b)}); }
Expr function(std::string name, Expr arg) {
  return node(Kind::kFunction, {std::move(arg)}, std::move(name));
}

// "12.50" is 1250/100; with repeating digits r behind it, (1250r − 1250) / 99…00.
Expr literal(const Token& token) {
  const size_t point = token.text.find('.');
  if (point == std::string::npos) return number(token.text);
  const std::string digits = token.text.substr(0, point) + token.text.substr(point + 1);
  const size_t places = token.text.size() - point - 1;
  if (token.repeating.empty()) {
    return number(places == 0 ? digits : digits + "/1" + std::string(places, '0'));
  }
  const std::string nines = std::string(token.repeating.size(), '9') + std::string(places, '0');
  return node(Kind::kAdd, {number(digits + "/1" + std::string(places, '0')),
                           number(token.repeating + "/" + nines)});
}

bool is_whole(const Expr& e) {
  return e.kind == Kind::kNumber && e.text.find('/') == std::string::npos;
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Answer run() {
    Expr value = list_until([&] { return at().kind == TokenKind::kEnd; }, ",,");
    return {std::move(value), unit_};
  }

 private:
  const Token& at(size_t ahead = 0) const {
    return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
  }
  void skip() { ++next_; }
  bool take(char sign) {
    if (!at().is(sign)) return false;
    skip();
    return true;
  }
  bool take_command(std::string_view name) {
    if (!at().is(name)) return false;
    skip();
    return true;
  }
  [[noreturn]] static void fail() { throw Failure{Unreadable::kSyntax}; }
  void expect(char sign) {
    if (!take(sign)) fail();
  }

  // Elements between commas until `ends`.
  template <typename Ends>
  std::vector<Expr> elements_until(const Ends& ends) {
    std::vector<Expr> elements;
    bool comma = true;
    while (!ends()) {
      if (at().kind == TokenKind::kEnd) fail();
      if (take(',') || take(';')) {
        comma = true;
        continue;
      }
      if (take('.')) continue;  // behind the last word
      if (!comma) fail();
      elements.push_back(relation());
      comma = false;
    }
    return elements;
  }

  // One element alone is itself.
  template <typename Ends>
  Expr list_until(const Ends& ends, const std::string& delimiters) {
    std::vector<Expr> elements = elements_until(ends);
    if (elements.empty()) fail();
    if (elements.size() == 1) return std::move(elements[0]);
    return node(Kind::kSequence, std::move(elements), delimiters);
  }

  // One character for an operator between two sides, or 0.
  char relation_sign() const {
    const Token& token = at();
    if (token.kind == TokenKind::kSign) {
      const char c = token.text[0];
      return c == '=' || c == '<' || c == '>' || c == '~' ? c : '\0';
    }
    if (token.is("leq")) return 'l';
    if (token.is("geq")) return 'g';
    if (token.is("neq")) return 'n';
    if (token.is("in")) return 'e';
    return '\0';
  }

  Expr relation() {
    const Deeper deeper(*this);
    if (relation_sign() == '=' || relation_sign() == '~') skip();  // "= 5"
    std::vector<Expr> sides;
    sides.push_back(united());
    std::string operators;
    while (const char sign = relation_sign()) {
      skip();
      operators += sign;
      sides.push_back(united());
    }
    if (operators.empty()) return std::move(sides[0]);
    return node(Kind::kRelation, std::move(sides), std::move(operators));
  }

  Expr united() {
    std::vector<Expr> parts;
    parts.push_back(ratio());
    while (at().is("cup") || at().is("cap") || at().is("setminus") || at().is("backslash")) {
      const std::string name = at().is("cup") || at().is("cap") ? at().text : "setminus";
      skip();
      Expr next = ratio();
      if (name == "cup") {
        parts.push_back(std::move(next));
      } else {  // as they are written
        parts.back() = node(Kind::kFunction, {std::move(parts.back()), std::move(next)}, name);
      }
    }
    if (parts.size() == 1) return std::move(parts[0]);
    return node(Kind::kUnion, std::move(parts));
  }

  // 1:2, or the time of day
  Expr ratio() {
    std::vector<Expr> parts;
    parts.push_back(sum());
    while (take(':')) parts.push_back(sum());
    if (parts.size() == 1) return std::move(parts[0]);
    return node(Kind::kSequence, std::move(parts), "::");
  }

  Expr sum() {
    const Deeper deeper(*this);
    std::vector<Expr> terms;
    bool negative = false;
    while (at().is('+') || at().is('-')) {
      negative = negative != at().is('-');
      skip();
    }
    if (at().is("pm") || at().is("mp")) {
      skip();
      terms.push_back(node(Kind::kPlusMinus, {product()}));
    } else {
      terms.push_back(signed_term(product(), negative));
    }
    while (true) {
      if (at().is("pm") || at().is("mp")) {
        const bool plus_first = at().is("pm");
        skip();
        Expr left = added(std::move(terms));
        Expr right = signed_term(product(), !plus_first);
        terms.clear();
        terms.push_back(node(Kind::kPlusMinus, {std::move(left), std::move(right)}));
        continue;
      }
      if (!at().is('+') && !at().is('-')) break;
      negative = false;
      while (at().is('+') || at().is('-')) {
        negative = negative != at().is('-');
        skip();
      }
      terms.push_back(signed_term(product(), negative));
    }
    return added(std::move(terms));
  }

  static Expr signed_term(Expr term, bool negative) {
    return negative ? node(Kind::kNeg, {std::move(term)}) : std::move(term);
  }
  static Expr added(std::vector<Expr> terms) {
    if (terms.size() == 1) return std::move(terms[0]);
    return node(Kind::kAdd, std::move(terms));
  }

  // Whether a factor can begin here, without a sign of multiplication.
  bool begins_factor() const {
    const Token& token = at();
    switch (token.kind) {
      case TokenKind::kNumber:
      case TokenKind::kLetter:
        return true;
      case TokenKind::kSign:
        return token.is('(') || token.is('[') || token.is('{') || (token.is('|') && bars_ == 0);
      case TokenKind::kCommand: {
        static constexpr std::string_view kNot[] = {
            "pm",         "mp",       "cup",       "leq",    "geq",     "neq",       "in",
            "}",          "end",      "\\",        "cap",    "rfloor",  "rceil",     "to",
            "rightarrow", "setminus", "backslash", "rangle", "implies", "Rightarrow"};
        return std::find(std::begin(kNot), std::end(kNot), token.text) == std::end(kNot);
      }
      default:
        return false;
    }
  }

  // Units and words stand behind what they belong to.
  void units() {
    while (true) {
      if (at().kind == TokenKind::kUnit) {
        if (unit_.empty()) unit_ = at().text;
        skip();
        if (at().is('^') && at(1).kind == TokenKind::kNumber) {
          unit_ += at(1).text;
          next_ += 2;
        } else if (at().is('^') && at(1).is('{') && at(2).kind == TokenKind::kNumber &&
                   at(3).is('}')) {
          unit_ += at(2).text;
          next_ += 4;
        }
        if (at().is('/') && at(1).kind == TokenKind::kUnit) skip();
      } else if (at().kind == TokenKind::kWords && words_are_units_) {
        const bool square = at().text == "square" || at().text == "sq";
        const bool power = square || at().text == "cubic";
        skip();
        if (power && at().kind == TokenKind::kUnit && unit_.empty()) {
          unit_ = at().text + (square ? "2" : "3");
          skip();
        }
      } else {
        return;
      }
    }
  }

  Expr product() {
    const Deeper deeper(*this);
    units();
    if (at().kind == TokenKind::kWords) {
      std::string words;
      while (at().kind == TokenKind::kWords || at().kind == TokenKind::kUnit ||
             (!words.empty() &&
              (at().kind == TokenKind::kLetter || at().kind == TokenKind::kNumber))) {
        words += (words.empty() ? "" : " ") + at().text;
        skip();
      }
      return {Kind::kText, std::move(words), {}};
    }
    Expr result = power();
    words_are_units_ = true;
    units();
    while (true) {
      if (at().is('*')) {
        skip();
        result = node(Kind::kMul, {std::move(result), signed_power()});
      } else if (at().is('/')) {
        skip();
        result = fraction(std::move(result), signed_power());
      } else if (begins_factor()) {
        const bool whole = is_whole(result), next_fraction = at().is("frac") || at().is("half");
        Expr factor = power();
        // 1\frac{2}{3}, and 1 2/3
        const bool proper = factor.kind == Kind::kDiv && is_whole(factor.args[0]) &&
                            is_whole(factor.args[1]) && smaller(factor.args[0], factor.args[1]);
        if (whole && next_fraction && proper) {
          result = node(Kind::kAdd, {std::move(result), std::move(factor)});
        } else if (whole && is_whole(factor) && at().is('/') && at(1).kind == TokenKind::kNumber) {
          skip();
          result = node(Kind::kAdd, {std::move(result), fraction(std::move(factor), power())});
        } else {
          result = node(Kind::kMul, {std::move(result), std::move(factor)});
        }
      } else {
        break;
      }
      units();
    }
    return result;
  }

  static bool smaller(const Expr& a, const Expr& b) {
    return a.text.size() != b.text.size() ? a.text.size() < b.text.size() : a.text < b.text;
  }

  Expr signed_power() {
    bool negative = false;
    while (at().is('-') || at().is('+')) {
      negative = negative != at().is('-');
      skip();
    }
    units();
    return signed_term(power(), negative);
  }

  Expr power() {
    const Deeper deeper(*this);
    Expr base = primary();
    while (true) {
      if (at().is('!') && !at(1).is('=')) {
        skip();
        base = function("factorial", std::move(base));
      } else if (at().is('\'')) {
        skip();
        base = function("'", std::move(base));
      } else if (at().is('^')) {
        skip();
        if (at().is('\'') || at().is("prime")) {
          skip();
          base = function("'", std::move(base));
        } else {
          base = node(Kind::kPow, {std::move(base), argument(false)});
        }
      } else {
        return base;
      }
    }
  }

  // What a command takes: a group, or one thing; of a number that follows \frac one digit.
  Expr argument(bool one_digit) {
    const Deeper deeper(*this);
    if (take('{')) return list_until([&] { return take('}'); }, "()");
    if (at().is('-') || at().is('+')) return signed_power();
    Token& token = tokens_[next_];
    if (one_digit && token.kind == TokenKind::kNumber && token.text.size() > 1 &&
        token.text[1] != '.') {
      const std::string digit = token.text.substr(0, 1);
      token.text.erase(0, 1);
      return number(digit);
    }
    return primary();
  }

  // The text of a subscript.
  std::string subscript() {
    std::string text;
    if (!take('{')) {
      text = at().text;
      skip();
      return text;
    }
    for (int depth = 1; at().kind != TokenKind::kEnd; skip()) {
      if (at().is('{')) ++depth;
      if (at().is('}') && --depth == 0) {
        skip();
        return text;
      }
      text += at().text;
    }
    fail();
  }

  Expr primary() {
    const Deeper deeper(*this);
    const Token token = at();
    if (token.kind == TokenKind::kNumber) {
      skip();
      if (at().is('_')) {
        skip();
        const std::string base = subscript();
        return node(Kind::kBased, {number(base)}, token.text);
      }
      return literal(token);
    }
    if (token.kind == TokenKind::kLetter) return letter(token.text);
    if (token.kind == TokenKind::kCommand) return command(token.text);
    if (take('{')) return list_until([&] { return take('}'); }, ",,");  // they do not show
    if (at().is('(') || at().is('[')) return bracket();
    if (take('|')) {
      ++bars_;
      Expr inside = sum();
      --bars_;
      expect('|');
      return function("abs", std::move(inside));
    }
    fail();
  }

  Expr bracket() {
    std::string delimiters(1, at().text[0]);
    skip();
    const int bars = bars_;
    bars_ = 0;
    std::vector<Expr> elements = elements_until([&] {
      if (!at().is(')') && !at().is(']')) return false;
      delimiters += at().text[0];
      skip();
      return true;
    });
    bars_ = bars;
    if (elements.empty()) fail();
    if (elements.size() == 1) return std::move(elements[0]);
    return node(Kind::kSequence, std::move(elements), std::move(delimiters));
  }

  Expr letter(const std::string& name) {
    skip();
    if (at().is('_')) {
      skip();
      return {Kind::kSymbol, name + "_" + subscript(), {}};
    }
    if (name == "e" || name == "i") return {Kind::kConstant, name, {}};
    static constexpr std::string_view kNames = "fghFGHPQ";
    if (kNames.find(name) != std::string_view::npos && at().is('(')) {
      return function("call " + name, bracket());
    }
    return {Kind::kSymbol, name, {}};
  }

  Expr command(const std::string& name) {
    skip();
    if (name == "frac") {
      Expr top = argument(true);
      return fraction(std::move(top), argument(true));
    }
    if (name == "half") return fraction(number("1"), number("2"));
    if (name == "sqrt") return root();
    if (name == "binom") {
      Expr n = argument(true);
      return node(Kind::kFunction, {std::move(n), argument(true)}, "binom");
    }
    if (name == "pi") return {Kind::kConstant, "pi", {}};
    if (name == "infty") return {Kind::kInfinity, "", {}};
    if (name == "emptyset") return node(Kind::kSequence, {}, "{}");
    if (name == "{") {
      return node(Kind::kSequence, elements_until([&] { return take_command("}"); }), "{}");
    }
    if (name == "begin") return matrix();
    if (name == "boxed" || name == "fbox" || name == "mathbb" || name == "ensuremath" ||
        name == "underline" || name == "boldsymbol" || name == "bm" || name == "mathcal") {
      return argument(false);
    }
    if (name == "lfloor" || name == "lceil") {
      Expr inside = sum();
      if (!take_command(name == "lfloor" ? "rfloor" : "rceil")) fail();
      return function(name == "lfloor" ? "floor" : "ceil", std::move(inside));
    }
    if (name == "sum" || name == "prod" || name == "int" || name == "lim") return limits(name);
    if (name == "vec" || name == "overline" || name == "hat" || name == "bar" ||
        name == "overrightarrow" || name == "widehat") {
      return function(name, argument(false));
    }
    return applied(name);
  }

  Expr root() {
    if (!at().is('[')) return function("sqrt", argument(false));
    skip();
    Expr degree = list_until([&] { return take(']'); }, "()");
    Expr inside = argument(false);
    return node(Kind::kPow, {std::move(inside), fraction(number("1"), std::move(degree))});
  }

  // ∑ and its like are not computed: two are equal if they are written alike.
  Expr limits(const std::string& name) {
    std::string below, above;
    for (int i = 0; i < 2; ++i) {
      if (take('_')) below = subscript();
      if (take('^')) above = subscript();
    }
    return function(name + "[" + below + ";" + above + "]", product());
  }

  Expr applied(const std::string& name) {
    static constexpr std::string_view kNames[] = {"sin",  "cos",  "tan",  "cot",  "sec",
                                                  "csc",  "asin", "acos", "atan", "sinh",
                                                  "cosh", "tanh", "ln",   "log",  "exp"};
    if (std::find(std::begin(kNames), std::end(kNames), name) == std::end(kNames)) {
      std::string symbol = "\\" + name;
      if (take('_')) symbol += "_" + subscript();
      return {Kind::kSymbol, std::move(symbol), {}};
    }
    std::vector<Expr> args;
    if (name == "log" && take('_')) args.push_back(argument(true));
    std::optional<Expr> exponent;
    if (take('^')) exponent = argument(false);
    args.push_back(function_argument());
    const bool inverse = exponent && exponent->kind == Kind::kNeg &&
                         exponent->args[0].is_number("1") && name.size() == 3;
    Expr result = build(inverse ? "a" + name : name, std::move(args));
    if (exponent && !inverse) result = node(Kind::kPow, {std::move(result), std::move(*exponent)});
    return result;
  }

  static Expr build(const std::string& name, std::vector<Expr> args) {
    Expr& x = args.back();
    if (name == "sec") return fraction(number("1"), function("cos", std::move(x)));
    if (name == "csc") return fraction(number("1"), function("sin", std::move(x)));
    if (name == "cot") {
      Expr cosine = function("cos", x);
      return fraction(std::move(cosine), function("sin", std::move(x)));
    }
    if (name == "exp") return node(Kind::kPow, {{Kind::kConstant, "e", {}}, std::move(x)});
    return node(Kind::kFunction, std::move(args), name == "ln" ? "log" : name);
  }

  // (…), or the factors up to the next function, sum or fraction bar.
  Expr function_argument() {
    if (at().is('(') || at().is('{') || at().is('[')) {
      return power();
    }
    bool negative = false;
    while (at().is('-')) {
      negative = !negative;
      skip();
    }
    Expr result = power();
    if (at().kind == TokenKind::kUnit && at().text == "deg") {  // sin 60°
      skip();
      result = node(Kind::kMul,
                    {std::move(result), fraction({Kind::kConstant, "pi", {}}, number("180"))});
    }
    units();
    while ((at().kind == TokenKind::kNumber || at().kind == TokenKind::kLetter || at().is("pi") ||
            at().is("theta") || at().is("alpha") || at().is("beta") || at().is("frac") ||
            at().is("sqrt"))) {
      result = node(Kind::kMul, {std::move(result), power()});
    }
    return signed_term(std::move(result), negative);
  }

  std::string environment() {
    expect('{');
    std::string name;
    while (!at().is('}')) {
      if (at().kind == TokenKind::kEnd) fail();
      name += at().text;
      skip();
    }
    skip();
    return name;
  }

  Expr matrix() {
    const std::string name = environment();
    if (name == "array") environment();  // its columns
    std::vector<Expr> rows, cells;
    const auto end_row = [&] {
      if (!cells.empty()) rows.push_back(node(Kind::kSequence, std::move(cells), "()"));
      cells.clear();
    };
    while (!at().is("end")) {
      if (take('&')) continue;
      if (take_command("\\")) {
        end_row();
        continue;
      }
      cells.push_back(relation());
    }
    skip();
    environment();
    end_row();
    return node(Kind::kMatrix, std::move(rows));
  }

  // How deep the recursion is, and that it is not too deep.
  struct Deeper {
    explicit Deeper(Parser& p) : parser(p) {
      if (++parser.depth_ > 6 * kMostDepth) throw Failure{Unreadable::kTooComplex};
    }
    ~Deeper() { --parser.depth_; }
    Deeper(const Deeper&) = delete;
    Parser& parser;
  };

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0, bars_ = 0;
  bool words_are_units_ = false;
  std::string unit_;
};

}  // namespace

std::optional<Answer> parse(std::string_view text, Unreadable& why) {
  std::vector<Token> tokens = tokenize(text);
  if (tokens.size() > kMostTokens) {
    why = Unreadable::kTooComplex;
    return std::nullopt;
  }
  try {
    return Parser(std::move(tokens)).run();
  } catch (const Failure& failure) {
    why = failure.why;
    return std::nullopt;
  }
}

}  // namespace assay::math
