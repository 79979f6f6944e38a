#include "engine/tokenizer/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/tokenizer/jinja/value.h"
#include "harness/base/text.h"

namespace assay::jinja {
namespace {

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    // Like Jinja, one newline at the template's end is not part of it.
    if (source_.ends_with("\r\n")) {
      source_.remove_suffix(2);
    } else if (source_.ends_with('\n')) {
      source_.remove_suffix(1);
    }
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      add_text(tag);
      if (tag == std::string_view::npos) break;
      read_tag();
    }
    tokens_.push_back({Token::Kind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw TemplateError{fmt::format("line {}: {}", line_, what)};
  }

  size_t next_tag() const {
    size_t tag = at_;
    while ((tag = source_.find('{', tag)) != std::string_view::npos) {
      if (tag + 1 < source_.size() &&
          std::string_view("{%#").find(source_[tag + 1]) != std::string_view::npos) {
        return tag;
      }
      ++tag;
    }
    return tag;
  }

  void add_text(size_t end) {
    std::string_view text = source_.substr(at_, end == std::string_view::npos ? end : end - at_);
    const std::string_view whole = text;
    if (strip_next_) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    } else if (trim_newline_ && text.starts_with('\n')) {
      text.remove_prefix(1);
    }
    if (end != std::string_view::npos) {
      const char kind = source_[end + 1];
      const char mark = end + 2 < source_.size() ? source_[end + 2] : ' ';
      if (mark == '-') {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      } else if (kind != '{' && mark != '+') {
        // lstrip_blocks: blanks before a block that begins its line
        size_t keep = text.size();
        while (keep > 0 && (text[keep - 1] == ' ' || text[keep - 1] == '\t')) --keep;
        const bool line_start =
            keep > 0 ? text[keep - 1] == '\n'
                     : (at_ == 0 || text.size() < whole.size() || source_[at_ - 1] == '\n');
        if (line_start) text = text.substr(0, keep);
      }
    }
    if (!text.empty()) tokens_.push_back({Token::Kind::kText, std::string(text), line_});
    count_lines(whole);
    at_ = end == std::string_view::npos ? source_.size() : end;
  }

  void count_lines(std::string_view text) {
    line_ += static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  void read_tag() {
    const char kind = source_[at_ + 1];
    at_ += 2;
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
    if (kind == '#') {
      const size_t end = source_.find("#}", at_);
      if (end == std::string_view::npos) fail("a comment {# is not closed");
      count_lines(source_.substr(at_, end - at_));
      strip_next_ = end > 0 && source_[end - 1] == '-';
      trim_newline_ = true;
      at_ = end + 2;
      return;
    }
    const bool print = kind == '{';
    tokens_.push_back({print ? Token::Kind::kPrintBegin : Token::Kind::kBlockBegin, "", line_});
    const std::string_view close = print ? "}}" : "%}";
    int depth = 0;  // inside brackets "}}" may end two dicts
    while (true) {
      while (at_ < source_.size() && is_space(source_[at_])) {
        if (source_[at_] == '\n') ++line_;
        ++at_;
      }
      if (at_ >= source_.size()) fail(print ? "{{ is not closed" : "{% is not closed");
      const std::string_view rest = source_.substr(at_);
      const bool minus = rest[0] == '-' && rest.substr(1).starts_with(close);
      const bool plus = !print && rest[0] == '+' && rest.substr(1).starts_with(close);
      if (depth == 0 && (minus || plus || rest.starts_with(close))) {
        at_ += close.size() + (minus || plus ? 1 : 0);
        strip_next_ = minus;
        trim_newline_ = !print && !plus;
        tokens_.push_back({print ? Token::Kind::kPrintEnd : Token::Kind::kBlockEnd, "", line_});
        return;
      }
      read_token(&depth);
    }
  }

  void read_token(int* depth) {
    const char c = source_[at_];
    const size_t start = at_;
    if (is_name_start(c)) {
      while (at_ < source_.size() && (is_name_start(source_[at_]) || is_digit(source_[at_]))) ++at_;
      tokens_.push_back(
          {Token::Kind::kName, std::string(source_.substr(start, at_ - start)), line_});
    } else if (is_digit(c)) {
      bool real = false;
      while (at_ < source_.size() && (is_digit(source_[at_]) || source_[at_] == '_' ||
                                      (source_[at_] == '.' && !real && at_ + 1 < source_.size() &&
                                       is_digit(source_[at_ + 1])))) {
        real = real || source_[at_] == '.';
        ++at_;
      }
      const std::string digits =
          replace_all(std::string(source_.substr(start, at_ - start)), "_", "");
      if (digits.size() > 18) fail("a number is too long");
      tokens_.push_back({real ? Token::Kind::kFloat : Token::Kind::kInteger, digits, line_});
    } else if (c == '"' || c == '\'') {
      read_string(c);
    } else {
      static constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">=", "//", "**"};
      const std::string_view rest = source_.substr(at_);
      size_t length = 1;
      for (const std::string_view two : kTwo) {
        if (rest.starts_with(two)) length = 2;
      }
      if (std::string_view("+-*/%~<>=!|.,:()[]{}").find(c) == std::string_view::npos) {
        fail(fmt::format("unexpected character {}", quote_for_message(rest.substr(0, 1))));
      }
      if (c == '(' || c == '[' || c == '{') ++*depth;
      if (c == ')' || c == ']' || c == '}') --*depth;
      tokens_.push_back({Token::Kind::kOperator, std::string(rest.substr(0, length)), line_});
      at_ += length;
    }
  }

  void read_string(char quote) {
    std::string text;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      char c = source_[at_];
      if (c == '\n') ++line_;
      if (c != '\\' || at_ + 1 >= source_.size()) {
        text += c;
        continue;
      }
      c = source_[++at_];
      if (c == 'u' && at_ + 4 < source_.size()) {
        const std::string hex(source_.substr(at_ + 1, 4));
        if (hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos) {
          append_utf8(text, static_cast<uint32_t>(std::stoul(hex, nullptr, 16)));
          at_ += 4;
          continue;
        }
      }
      static constexpr std::string_view kFrom = "ntr\\'\"", kTo = "\n\t\r\\'\"";
      const size_t escape = kFrom.find(c);
      if (escape == std::string_view::npos) text += '\\';
      text += escape == std::string_view::npos ? c : kTo[escape];
    }
    if (at_ >= source_.size()) fail("a string is not closed");
    ++at_;
    tokens_.push_back({Token::Kind::kString, text, line_});
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool strip_next_ = false;    // the tag before ended in -
  bool trim_newline_ = false;  // the tag before was a block or a comment
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace assay::jinja
