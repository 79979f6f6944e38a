#include "scorers/math/lexer.h"

#include <array>
#include <map>

#include "harness/base/text.h"

namespace assay::math {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Commands that say how something looks.
constexpr std::string_view kSpacing[] = {
    "left",         "right",     "big",      "Big",   "bigl",  "bigr",   "Bigl",
    "Bigr",         "bigg",      "Bigg",     "biggl", "biggr", "Biggl",  "Biggr",
    "displaystyle", "textstyle", "limits",   "quad",  "qquad", "hspace", "thinspace",
    "medspace",     "enspace",   "nolimits", "hfill", "bf",    "it",     "rm"};
// … and those that stand for another one.
const std::map<std::string_view, std::string_view> kSynonyms = {
    {"dfrac", "frac"},   {"tfrac", "frac"},  {"cfrac", "frac"},   {"dbinom", "binom"},
    {"tbinom", "binom"}, {"le", "leq"},      {"ge", "geq"},       {"leqslant", "leq"},
    {"geqslant", "geq"}, {"ne", "neq"},      {"lt", "<"},         {"gt", ">"},
    {"arcsin", "asin"},  {"arccos", "acos"}, {"arctan", "atan"},  {"colon", ":"},
    {"lbrace", "{"},     {"rbrace", "}"},    {"lvert", "|"},      {"rvert", "|"},
    {"vert", "|"},       {"mid", "|"},       {"lbrack", "["},     {"rbrack", "]"},
    {"approx", "~"},     {"simeq", "~"},     {"equiv", "="},      {"ast", "*"},
    {"div", "/"},        {"times", "*"},     {"cdot", "*"},       {"varnothing", "emptyset"},
    {"degree", "circ"},  {"iff", ","},       {"lfloor", "lfloor"}};
constexpr std::string_view kTextCommands[] = {
    "text", "mathrm",     "mbox",   "textrm",       "textbf", "mathbf", "textit",
    "emph", "textnormal", "mathit", "operatorname", "textsf", "texttt", "mathsf"};
constexpr std::string_view kFunctions[] = {
    "sin",  "cos",  "tan", "cot", "sec", "csc",  "asin",   "acos",   "atan",  "sinh",
    "cosh", "tanh", "ln",  "log", "exp", "sqrt", "arcsin", "arccos", "arctan"};

template <size_t kCount>
bool contains(const std::string_view (&list)[kCount], std::string_view word) {
  for (const std::string_view each : list) {
    if (each == word) return true;
  }
  return false;
}

const std::map<std::string_view, std::string_view> kUnits = {
    {"cm", "cm"},         {"centimeter", "cm"},  {"centimeters", "cm"}, {"mm", "mm"},
    {"millimeter", "mm"}, {"millimeters", "mm"}, {"meter", "m"},        {"meters", "m"},
    {"km", "km"},         {"kilometer", "km"},   {"kilometers", "km"},  {"inch", "in"},
    {"inches", "in"},     {"feet", "ft"},        {"foot", "ft"},        {"ft", "ft"},
    {"yard", "yd"},       {"yards", "yd"},       {"mile", "mi"},        {"miles", "mi"},
    {"mph", "mph"},       {"gram", "g"},         {"grams", "g"},        {"kg", "kg"},
    {"kilogram", "kg"},   {"kilograms", "kg"},   {"pound", "lb"},       {"pounds", "lb"},
    {"lb", "lb"},         {"lbs", "lb"},         {"ounce", "oz"},       {"ounces", "oz"},
    {"oz", "oz"},         {"second", "s"},       {"seconds", "s"},      {"sec", "s"},
    {"minute", "min"},    {"minutes", "min"},    {"hour", "h"},         {"hours", "h"},
    {"hr", "h"},          {"hrs", "h"},          {"day", "day"},        {"days", "day"},
    {"week", "week"},     {"weeks", "week"},     {"year", "year"},      {"years", "year"},
    {"month", "month"},   {"months", "month"},   {"dollar", "$"},       {"dollars", "$"},
    {"usd", "$"},         {"cent", "cent"},      {"cents", "cent"},     {"degree", "deg"},
    {"degrees", "deg"},   {"percent", "%"},      {"percentage", "%"},   {"pct", "%"},
    {"unit", "unit"},     {"units", "unit"},     {"liter", "l"},        {"liters", "l"},
    {"ml", "ml"},         {"radian", "rad"},     {"radians", "rad"},    {"euro", "euro"},
    {"euros", "euro"}};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) step();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view with) const { return text_.substr(at_).starts_with(with); }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), ""}); }
  void sign(char c) { add(TokenKind::kSign, std::string(1, c)); }

  void step() {
    const char c = peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '~' || c == '$' || c == '&') {
      if (c == '&') sign('&');
      ++at_;
    } else if (c == '\\') {
      command();
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      digits();
    } else if (is_letter(c)) {
      word();
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      other();
    } else if (c == '%') {
      add(TokenKind::kUnit, "%");
      ++at_;
    } else {
      if (c == '(' || c == '[' || c == '{') ++depth_;
      if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
      two_signs(c);
    }
  }

  void two_signs(char c) {
    const char next = peek(1);
    at_ += next == '=' && (c == '<' || c == '>' || c == '!') ? 2u : 1u;
    if (next == '=' && c == '<') return add(TokenKind::kCommand, "leq");
    if (next == '=' && c == '>') return add(TokenKind::kCommand, "geq");
    if (next == '=' && c == '!') return add(TokenKind::kCommand, "neq");
    if (c == '*' && next == '*') {
      ++at_;
      c = '^';
    }
    sign(c);
  }

  // Text that is not ASCII: what answers have of it.
  void other() {
    static constexpr std::pair<std::string_view, std::string_view> kSigns[] = {
        {"−", "-"},     {"–", "-"},    {"×", "*"},        {"·", "*"},    {"÷", "/"},
        {"≤", "leq"},   {"≥", "geq"},  {"≠", "neq"},      {"≈", "~"},    {"π", "pi"},
        {"∞", "infty"}, {"√", "sqrt"}, {"±", "pm"},       {"∪", "cup"},  {"∩", "cap"},
        {"∈", "in"},    {"²", "^2"},   {"³", "^3"},       {"°", "circ"}, {"€", "$"},
        {"£", "$"},     {"½", "half"}, {"∅", "emptyset"}, {"θ", "theta"}};
    for (const auto& [from, to] : kSigns) {
      if (!starts(from)) continue;
      at_ += from.size();
      if (to[0] == '^') {
        sign('^');
        return add(TokenKind::kNumber, std::string(to.substr(1)));
      }
      if (to == "circ") return add(TokenKind::kUnit, "deg");
      if (to == "$") return add(TokenKind::kUnit, "$");
      return to.size() == 1 ? sign(to[0]) : add(TokenKind::kCommand, std::string(to));
    }
    size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    add(TokenKind::kWords, std::string(text_.substr(at_, end - at_)));
    at_ = end;
  }

  void command() {
    ++at_;
    const char c = peek();
    if (!is_letter(c)) {
      at_ += c == '\0' ? 0 : 1;
      if (c == '\\') return add(TokenKind::kCommand, "\\");
      if (c == '{' || c == '}') return add(TokenKind::kCommand, std::string(1, c));
      if (c == '%') return add(TokenKind::kUnit, "%");
      if (c == '$') return add(TokenKind::kUnit, "$");
      if (c == '|') return sign('|');
      return;  // \! \, \; \: \( \[ and what else is spacing
    }
    const size_t begin = at_;
    while (is_letter(peek())) ++at_;
    std::string name(text_.substr(begin, at_ - begin));
    if (contains(kSpacing, name)) {
      if (name == "hspace") group();
      if (name == "left" || name == "right") {
        if (peek() == '.') ++at_;
      }
      return;
    }
    if (contains(kTextCommands, name)) return words(group());
    if (name == "dots" || name == "ldots" || name == "cdots") return add(TokenKind::kWords, "...");
    if (const auto found = kSynonyms.find(name); found != kSynonyms.end()) name = found->second;
    if (name == "circ") return degrees();
    if (name.size() == 1 && !is_letter(name[0]) && name != "{" && name != "}") return sign(name[0]);
    add(TokenKind::kCommand, std::move(name));
  }

  // The ^ before \circ and braces around it are part of it.
  void degrees() {
    const bool braced = !tokens_.empty() && tokens_.back().is('{');
    if (braced) tokens_.pop_back();
    if (!tokens_.empty() && tokens_.back().is('^')) tokens_.pop_back();
    if (braced && peek() == '}') {
      ++at_;
      if (depth_ > 0) --depth_;
    }
    add(TokenKind::kUnit, "deg");
  }

  // What follows in braces, without them; nothing if there are none.
  std::string_view group() {
    while (peek() == ' ') ++at_;
    if (peek() == '*') ++at_;
    if (peek() != '{') return {};
    int depth = 0;
    const size_t begin = at_ + 1;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
        continue;
      }
      if (text_[at_] == '{') ++depth;
      if (text_[at_] == '}' && --depth == 0) {
        ++at_;
        return text_.substr(begin, at_ - 1 - begin);
      }
    }
    at_ = text_.size();
    return text_.substr(begin);
  }

  // What a text says: units, "and", mathematics that somebody set upright, or words.
  void words(std::string_view inside) {
    const std::string_view trimmed = trim(inside);
    if (trimmed.empty()) return;
    if (trimmed.size() == 1 && is_letter(trimmed[0])) {
      return add(TokenKind::kLetter, std::string(trimmed));
    }
    bool mathematics = true;
    for (const char c : trimmed) {
      mathematics = mathematics && (!is_letter(c) && static_cast<unsigned char>(c) < 0x80);
    }
    if (mathematics || contains(kFunctions, trimmed)) {
      for (Token& token : Lexer(trimmed).run()) {
        if (token.kind != TokenKind::kEnd) tokens_.push_back(std::move(token));
      }
      return;
    }
    plain(trimmed);
  }

  void plain(std::string_view text) {
    std::string low;
    for (const char c : text) low += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (low == "and" || low == "or") return sign(',');
    std::string first = low.substr(0, low.find_first_of(" .^/"));
    if (first == "square" || first == "cubic" || first == "sq") {
      const size_t rest = low.find(' ');
      if (rest != std::string::npos) {
        const std::string unit = unit_name(low.substr(rest + 1));
        if (!unit.empty()) return add(TokenKind::kUnit, unit + (first == "cubic" ? "3" : "2"));
      }
    }
    const std::string unit = unit_name(first);
    if (!unit.empty()) return add(TokenKind::kUnit, unit);
    add(TokenKind::kWords, low);
  }

  // Letters outside of commands: a unit, a function, a word, or variables side by side.
  void word() {
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    const std::string_view run = text_.substr(at_, end - at_);
    std::string low;
    for (const char c : run) low += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (run.size() > 1) {
      if (contains(kFunctions, low)) {
        at_ = end;
        const auto found = kSynonyms.find(low);
        return add(TokenKind::kCommand,
                   std::string(found == kSynonyms.end() ? low : found->second));
      }
      if (low == "pi") {
        at_ = end;
        return add(TokenKind::kCommand, "pi");
      }
      if (low == "infinity" || low == "inf" || low == "oo") {
        at_ = end;
        return add(TokenKind::kCommand, "infty");
      }
      if (run.size() > 3 || low == "and" || low == "or" || !unit_name(low).empty()) {
        at_ = end;
        return plain(run);
      }
    }
    for (const char c : run) add(TokenKind::kLetter, std::string(1, c));
    at_ = end;
  }

  // Whether three digits and no fourth stand `ahead` of here.
  bool three_digits(size_t ahead) const {
    for (size_t i = 0; i < 3; ++i) {
      if (!is_digit(peek(ahead + i))) return false;
    }
    return !is_digit(peek(ahead + 3));
  }

  // Bytes of what may stand between thousands here.
  size_t separator() const {
    size_t size = 0;
    for (const std::string_view each : {",\\!", ", \\!", "{,}", "\\,", "\\ "}) {
      if (size == 0 && starts(each)) size = each.size();
    }
    if (size >= 3 && peek() == ',') {
      while (peek(size) == ' ') ++size;  // 11,\! 111
    }
    if (size == 0 && depth_ == 0 && (peek() == ',' || peek() == ' ')) size = 1;
    return size;
  }

  void digits() {
    std::string value;
    while (is_digit(peek())) value += text_[at_++];
    bool separated = value != "0";  // 0,111 is a decimal
    const bool starts_group = value.size() <= 3;
    while (starts_group && separated && !value.empty()) {
      size_t skip = separator();
      if (skip == 0 || !three_digits(skip)) break;
      at_ += skip;
      for (int i = 0; i < 3; ++i) value += text_[at_++];
    }
    Token token{TokenKind::kNumber, std::move(value), ""};
    if (peek() == '.' && (is_digit(peek(1)) || starts(".\\overline{") || starts(".\\bar{"))) {
      token.text += text_[at_++];
      while (is_digit(peek())) token.text += text_[at_++];
      if (starts("\\overline{") || starts("\\bar{")) repeat(token);
    }
    if (token.text.empty() || token.text[0] == '.') token.text.insert(0, "0");
    tokens_.push_back(std::move(token));
    scientific();
  }

  void repeat(Token& token) {
    const size_t open = text_.find('{', at_), close = text_.find('}', open);
    if (close == std::string_view::npos) return;
    const std::string_view inside = text_.substr(open + 1, close - open - 1);
    for (const char c : inside) {
      if (!is_digit(c)) return;
    }
    token.repeating = inside;
    at_ = close + 1;
  }

  // 1.5e-3
  void scientific() {
    if (peek() != 'e' && peek() != 'E') return;
    const size_t sign_size = peek(1) == '-' || peek(1) == '+' ? 1 : 0;
    if (!is_digit(peek(1 + sign_size))) return;
    ++at_;
    sign('*');
    add(TokenKind::kNumber, "10");
    sign('^');
    if (sign_size > 0) {
      if (peek() == '-') sign('-');
      ++at_;
    }
    std::string exponent;
    while (is_digit(peek())) exponent += text_[at_++];
    add(TokenKind::kNumber, std::move(exponent));
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::string unit_name(std::string_view word) {
  const auto found = kUnits.find(word);
  return found == kUnits.end() ? std::string() : std::string(found->second);
}

std::vector<Token> tokenize(std::string_view text) { return Lexer(text).run(); }

}  // namespace assay::math
