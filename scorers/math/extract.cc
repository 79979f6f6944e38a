#include "scorers/math/extract.h"

#include <re2/re2.h>

#include <optional>

#include "harness/base/boxed.h"
#include "harness/base/text.h"
#include "scorers/math/calendar.h"
#include "scorers/math/lexer.h"

namespace assay::math {
namespace {

struct Formula {
  std::string_view inside;
  size_t begin, end;  // with its delimiters
};

// The last $…$, $$…$$, \(…\) or \[…\].
std::optional<Formula> last_formula(std::string_view text) {
  std::optional<Formula> last;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    std::string_view close;
    size_t open_size = 2;
    if (text[i] == '\\' && (text[i + 1] == '(' || text[i + 1] == '[')) {
      close = text[i + 1] == '(' ? "\\)" : "\\]";
    } else if (text[i] == '\\') {
      ++i;
      continue;
    } else if (text[i] == '$') {
      close = text[i + 1] == '$' ? "$$" : "$";
      open_size = close.size();
    } else {
      continue;
    }
    size_t end = text.find(close, i + open_size);
    while (close == "$" && end != std::string_view::npos && text[end - 1] == '\\') {
      end = text.find(close, end + 1);
    }
    if (end == std::string_view::npos) break;
    last = Formula{text.substr(i + open_size, end - i - open_size), i, end + close.size()};
    i = last->end - 1;
  }
  return last;
}

// Words of two letters and more that are no units.
int words_in(std::string_view text) {
  static const re2::RE2 kWord(R"((\\?)([a-zA-Z]{2,}))");
  re2::StringPiece rest(text.data(), text.size());
  std::string backslash, word;
  int count = 0;
  while (re2::RE2::FindAndConsume(&rest, kWord, &backslash, &word)) {
    if (backslash.empty() && unit_name(word).empty()) ++count;
  }
  return count;
}

// \\frac for \frac: text that has been escaped once too often.
std::string unescape(std::string_view text) {
  static const re2::RE2 kTwice(
      R"(\\\\(frac|dfrac|left|right|sqrt|boxed|pi|text|cdot|sin|cos|tan|infty|pm)\b)");
  std::string out(text);
  if (out.find("\\\\") != std::string::npos) re2::RE2::GlobalReplace(&out, kTwice, R"(\\\1)");
  return out;
}

// The last number of a text that is no formula.
std::string last_number(std::string_view text) {
  static const re2::RE2 kNumber(
      R"((?:^|[\s=:(])([-+]?[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:[.,/]\d+)?%?)(?:[^\d]|$))");
  re2::StringPiece rest(text.data(), text.size());
  std::string number, last;
  while (re2::RE2::PartialMatch(rest, kNumber, &number)) {
    last = number;
    const size_t at = std::string_view(rest.data(), rest.size()).find(number);
    rest.remove_prefix(at + number.size());
  }
  return last;
}

// Of a text without a box.
std::string answer_in(std::string_view text) {
  text = trim(text);
  if (const auto formula = last_formula(text)) {
    const std::string_view before = trim(text.substr(0, formula->begin));
    const std::string_view after = trim(text.substr(formula->end));
    // "$125$ miles"
    if (before.empty() && words_in(after) == 0) {
      return std::string(formula->inside) + " " + std::string(after);
    }
    // "The largest $n$ is 34."
    static const re2::RE2 kIsNumber(
        R"((?:\bis|\bare|\bby|=|:)\s*\$?(-?\d[\d,]*(?:\.\d+)?%?)[^\d]*$)");
    std::string number;
    if (re2::RE2::PartialMatch(re2::StringPiece(after.data(), after.size()), kIsNumber, &number)) {
      return number;
    }
    return std::string(formula->inside);
  }
  if (text.find('\\') != std::string_view::npos) return std::string(text);
  if (words_in(text) >= 2 || (words_in(text) == 1 && text.find(' ') != std::string_view::npos)) {
    std::string number = last_number(text);
    // A year or a day is not by itself the answer.
    if (const auto date = last_date(text)) {
      if (text.substr(date->data() + date->size() - text.data()).find(number) ==
          std::string_view::npos) {
        return std::string(*date);
      }
    }
    if (!number.empty()) return number;
  }
  return std::string(text);
}

// What stands behind "Final answer:" or "the final answer is", if it is one thing.
std::optional<std::string> stated_answer(std::string_view text) {
  for (const std::string_view phrase : {"inal answer is", "inal Answer:", "inal answer:"}) {
    const size_t at = text.rfind(phrase);
    if (at == std::string_view::npos) continue;
    const std::string_view tail = text.substr(at + phrase.size());
    const auto last = last_formula(tail);
    if (last && last_formula(tail.substr(0, last->begin))) return std::nullopt;
    std::string found = answer_in(tail);
    if (words_in(found) < 3) return found;
  }
  return std::nullopt;
}

// What the last box holds, with those that stand before it and nothing but "and" between them.
std::optional<std::string> last_boxes(std::string_view text) {
  static const re2::RE2 kBetween(
      R"((?:[\s$,.;]|\\quad|\\qquad|\\text\{\s*(?:and|or)\s*\}|\band\b|\bor\b|\\[(),;!\[\] ])*$)");
  auto boxed = last_boxed(text);
  if (!boxed) return std::nullopt;
  std::string all = *boxed, last = *boxed;
  for (int i = 0; i < 10; ++i) {
    const size_t at =
        std::max(text.rfind("\\boxed{" + last + "}") + 1, text.rfind("\\fbox{" + last + "}") + 1);
    if (at == 0) break;
    text = text.substr(0, at - 1);
    std::string rest(text);
    re2::RE2::Replace(&rest, kBetween, "");
    const auto before = last_boxed(rest);
    if (!before || !rest.ends_with("{" + *before + "}")) break;
    if (*before != last) all.insert(0, *before + ", ");
    last = *before;
  }
  return all;
}

}  // namespace

std::string extract_answer(std::string_view text) {
  const std::string unescaped = unescape(text);
  if (auto stated = stated_answer(unescaped)) return *std::move(stated);
  if (auto boxed = last_boxes(unescaped)) return *std::move(boxed);
  return answer_in(unescaped);
}

}  // namespace assay::math
