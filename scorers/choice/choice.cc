#include "scorers/choice/choice.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "harness/base/boxed.h"
#include "harness/base/json.h"
#include "harness/base/option_order.h"
#include "harness/base/text.h"
#include "scorers/answer.h"

namespace assay {
namespace {

struct Patterns {
  re2::RE2 box, answer_is, answer;
};

const Patterns& patterns_of(OptionLabels labels) {
  static const Patterns kLetters = {
      re2::RE2(R"(^\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?\s*\(?([A-J])(?:[^\w].*)?$)"),
      re2::RE2(R"([Aa]nswer is:?\s*[*$"'\\(]*(?:text\{)?\(?([A-J])\b)"),
      re2::RE2(R"([Aa](?:nswer|NSWER):\s*[*$"'\\(]*(?:text\{)?\(?([A-J])\b)")};
  static const Patterns kNumbers = {
      re2::RE2(R"(^\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?\s*\(?([1-9])(?:[^\w.,].*)?$)"),
      re2::RE2(R"([Aa]nswer is:?\s*[*$"'\\(]*(?:text\{)?\(?([1-9])\b)"),
      re2::RE2(R"([Aa](?:nswer|NSWER):\s*[*$"'\\(]*(?:text\{)?\(?([1-9])\b)")};
  return labels == OptionLabels::kLetters ? kLetters : kNumbers;
}

// A text as options are compared: no case, no LaTeX text command, no marks around it.
std::string bare(std::string_view text) {
  constexpr std::string_view kMarks = " \t\r\n.,;:!*_`\"'()$";
  static const re2::RE2 kCommand(R"(\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\})");
  std::string out(text);
  re2::RE2::GlobalReplace(&out, kCommand, R"(\1)");
  const size_t first = out.find_first_not_of(kMarks);
  if (first == std::string::npos) return {};
  return to_lower_ascii(
      std::string_view(out).substr(first, out.find_last_not_of(kMarks) - first + 1));
}

// The last letter that stands alone. An "A" or "I" before a word is no letter but an article or a
// pronoun.
std::string last_alone(std::string_view text) {
  static const re2::RE2 kAlone(
      R"((?:^|[^\p{L}\p{N}_])(?:([B-HJ])(?:$|[^\p{L}\p{N}_])|([AI])(?:$|[^\p{L}\p{N}_'’ ]| [^\p{Ll}])))");
  re2::StringPiece rest(text.data(), text.size());
  std::string letter, article, last;
  while (re2::RE2::FindAndConsume(&rest, kAlone, &letter, &article)) {
    last = letter.empty() ? article : letter;
  }
  return last;
}

std::optional<size_t> option_of_text(const std::vector<std::string>& options,
                                     std::string_view text) {
  const std::string wanted = bare(text);
  std::optional<size_t> found;
  for (size_t i = 0; i < options.size() && !wanted.empty(); ++i) {
    if (bare(options[i]) != wanted) continue;
    if (found) return std::nullopt;  // two options of one text
    found = i;
  }
  return found;
}

std::vector<std::string> options_of(const Item& item) {
  std::vector<std::string> options;
  const auto field = item.fields.find("options");
  if (field == item.fields.end()) return options;
  const Json json = Json::parse(field->second, nullptr, false);
  if (!json.is_array()) return options;
  for (const Json& option : json) {
    options.push_back(option.is_string() ? option.get<std::string>() : dump_json(option));
  }
  return options;
}

}  // namespace

std::optional<Choice> extract_choice(std::string_view text, const std::vector<std::string>& options,
                                     OptionLabels labels) {
  const Patterns& patterns = patterns_of(labels);
  const auto boxed = last_boxed(text);
  const auto take = [](const std::string& label, const char* rule) -> std::optional<Choice> {
    if (label.empty()) return std::nullopt;
    return Choice{label[0], rule};
  };
  if (boxed) {
    if (const auto found = take(last_match(*boxed, patterns.box), "box")) return found;
  }
  if (const auto found = take(last_match(text, patterns.answer_is), "answer is")) return found;
  if (const auto found = take(last_match(text, patterns.answer), "answer:")) return found;
  if (!options.empty()) {
    static const re2::RE2 kStated(R"([Aa](?:nswer|NSWER)(?:\*\*)?(?: is)?:?(?:\*\*)?\s*([^\n]+))");
    auto option = boxed ? option_of_text(options, *boxed) : std::nullopt;
    if (!option) option = option_of_text(options, last_match(text, kStated));
    const char first = labels == OptionLabels::kLetters ? 'A' : '1';
    if (option)
      return Choice{static_cast<char>(first + static_cast<char>(*option)), "option's text"};
  }
  if (labels == OptionLabels::kNumbers) return std::nullopt;
  return take(last_alone(text), "last letter");
}

std::optional<Choice> extract_choice_officially(std::string_view text) {
  static const re2::RE2 kFirst(R"(answer is \(?([A-J])\)?)"), kAnswer(R"([aA]nswer:\s*([A-J]))");
  static const re2::RE2 kAlone(R"((?:^|[^\p{L}\p{N}_])([A-J])(?:$|[^\p{L}\p{N}_]))");
  const re2::StringPiece piece(text.data(), text.size());
  std::string letter;
  if (re2::RE2::PartialMatch(piece, kFirst, &letter)) return Choice{letter[0], "answer is"};
  if (letter = last_match(text, kAnswer); !letter.empty()) return Choice{letter[0], "answer:"};
  letter = last_match(text, kAlone);
  if (!letter.empty()) return Choice{letter[0], "last letter"};
  return std::nullopt;
}

std::string ChoiceScorer::rules() const {
  if (official_) return "answer is, answer:, last letter, guess";
  return std::string("box, answer is, answer:, option's text") +
         (labels_ == OptionLabels::kLetters ? ", last letter" : "");
}

Verdict ChoiceScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  const std::vector<std::string> given = options_of(item);
  const int n = static_cast<int>(given.size());
  std::vector<int> order;
  std::vector<std::string> shown = given;
  if (item.fields.contains("option_order")) {
    order = option_order(item.suite, item.id, completion.id.sample_index, n);
    for (size_t i = 0; i < shown.size(); ++i) shown[i] = given[static_cast<size_t>(order[i])];
  }
  const std::string_view text = *answer_part(completion.text, completion.opens_thought);
  const auto choice =
      official_ ? extract_choice_officially(text) : extract_choice(text, shown, labels_);
  verdict.correctness = Correctness::kIncorrect;
  int place = -1;  // among the options as shown
  if (choice) {
    place = choice->label - (labels_ == OptionLabels::kLetters ? 'A' : '1');
    verdict.rule = choice->rule;
  } else if (official_ && n > 0) {
    place = option_order(item.suite, item.id, completion.id.sample_index, n).front();
    verdict.rule = "guess";
  } else {
    verdict.rule = "no_letter";
    verdict.detail = "no option is named";
    return verdict;
  }
  verdict.has_answer = true;
  if (!order.empty()) {
    std::string letters;
    for (const int option : order) letters += static_cast<char>('A' + option);
    verdict.detail = fmt::format("options shown in the order {}, said {}", letters,
                                 choice ? choice->label : static_cast<char>('A' + place));
    if (place < n) place = order[static_cast<size_t>(place)];
  }
  verdict.answer = std::string(1, static_cast<char>('A' + place));
  if (verdict.answer == item.gold) verdict.correctness = Correctness::kCorrect;
  return verdict;
}

}  // namespace assay
