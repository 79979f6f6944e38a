#include "scorers/bbh/bbh.h"

#include <re2/re2.h>

#include "harness/base/boxed.h"
#include "harness/base/text.h"
#include "scorers/answer.h"

namespace assay {
namespace {

constexpr std::string_view kBrackets = "()[]{}<>";

// Without the marks that models put around an answer.
std::string_view without_marks(std::string_view text) {
  constexpr std::string_view kAround = " \t\r\n*_`\"'$";
  const size_t first = text.find_first_not_of(kAround);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kAround) - first + 1);
  if (text.ends_with('.') && !text.ends_with("..")) text.remove_suffix(1);
  const size_t last = text.find_last_not_of(kAround);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

bool is_bracket_list(std::string_view text) {
  return !text.empty() && text.find_first_not_of(std::string(kBrackets) + " ") == std::string::npos;
}

std::string only_brackets(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (kBrackets.find(c) != std::string_view::npos) out += c;
  }
  return out;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out(1);
  for (const char c : to_lower_ascii(text)) {
    if (std::string_view(" \t\n,;\"`*[]").find(c) != std::string_view::npos) {
      if (!out.back().empty()) out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

// The letter of "(B)", "B", "(B) the text of the option", "\text{(B)}"; 0 if there is none, or
// another one in brackets behind it.
char letter_of(std::string_view text) {
  static const re2::RE2 kLetter(
      R"(^(?:\\(?:text|textbf|mathrm|mathbf)\{)?\(?([A-R])(?:\)|[^\w'].*|$))");
  static const re2::RE2 kAnother(R"([A-R]\b.*\([A-R]\))");
  const re2::StringPiece piece(text.data(), text.size());
  std::string letter;
  if (!re2::RE2::PartialMatch(piece, kLetter, &letter)) return '\0';
  return re2::RE2::PartialMatch(piece, kAnother) ? '\0' : letter[0];
}

}  // namespace

std::optional<std::string> bbh_statement(std::string_view text) {
  static const re2::RE2 kAnswerIs(R"((?i)the (?:final |correct )?answer is:?)");
  static const re2::RE2 kBox(R"(\\(?:boxed|fbox)\s*\{)");
  static const re2::RE2 kLastLine(R"((?i)answer:([^\n]*)\s*$)");
  re2::StringPiece rest(text.data(), text.size()), captured;
  std::optional<std::string_view> stated;
  while (re2::RE2::FindAndConsume(&rest, kAnswerIs)) {
    const std::string_view behind(rest.data(), rest.size());
    stated = behind.substr(0, behind.find('\n'));
  }
  rest = {text.data(), text.size()};
  const char* last_box = nullptr;
  while (re2::RE2::FindAndConsume(&rest, kBox)) last_box = rest.data();
  const auto boxed = last_boxed(text);
  if (boxed && (!stated || last_box > stated->data())) return std::string(without_marks(*boxed));
  if (!stated &&
      re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), kLastLine, &captured)) {
    stated = std::string_view(captured.data(), captured.size());
  }
  if (!stated) return std::nullopt;
  return std::string(without_marks(*stated));
}

bool bbh_equal(std::string_view gold, std::string_view statement) {
  static const re2::RE2 kOption(R"(\([A-R]\))"), kNumber(R"(-?[0-9]+)");
  const re2::StringPiece piece(gold.data(), gold.size());
  if (re2::RE2::FullMatch(piece, kOption)) return letter_of(statement) == gold[1];
  if (re2::RE2::FullMatch(piece, kNumber)) {
    std::string number;
    const std::string plain = replace_all(std::string(statement), ",", "");
    return re2::RE2::FullMatch(plain, R"((-?[0-9]+)(?:\.0+)?(?: [a-z ]+)?)", &number) &&
           number == gold;
  }
  if (is_bracket_list(gold)) return only_brackets(gold) == only_brackets(statement);
  return words(gold) == words(statement);
}

std::string BbhScorer::rules() const { return "statement (the last \"the answer is\" or box)"; }

Verdict BbhScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  verdict.correctness = Correctness::kIncorrect;
  // A base model goes on with questions of its own.
  std::string_view text = *answer_part(completion.text, completion.opens_thought);
  text = text.substr(0, text.find("\n\nQ: "));
  const auto statement = bbh_statement(text);
  if (!statement || statement->empty()) {
    verdict.rule = "no_statement";
    verdict.detail = "no \"the answer is\" and no box";
    return verdict;
  }
  verdict.has_answer = true;
  verdict.answer = *statement;
  verdict.rule = "statement";
  if (bbh_equal(item.gold, *statement)) verdict.correctness = Correctness::kCorrect;
  return verdict;
}

}  // namespace assay
