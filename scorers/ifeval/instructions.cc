#include "scorers/ifeval/instructions.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "harness/base/text.h"
#include "scorers/ifeval/language.h"
#include "scorers/ifeval/sentences.h"
#include "scorers/ifeval/unicode.h"

namespace assay::ifeval {
namespace {

// Python's \s, \w and \d on Unicode text; RE2's are ASCII.
constexpr const char* kSpace =
    R"([\s\x0B\x1C-\x1F\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}])";
constexpr const char* kNotWord = R"([^\p{L}\p{N}_])";

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

// A pattern that an item's arguments make; each is compiled once. One that RE2 cannot compile is
// taken letter for letter.
const re2::RE2& compiled(const std::string& pattern) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<re2::RE2>> patterns;
  const std::lock_guard lock(mutex);
  auto& entry = patterns[pattern];
  if (!entry) {
    entry = std::make_unique<re2::RE2>(pattern, re2::RE2::Quiet);
    if (!entry->ok()) {
      entry = std::make_unique<re2::RE2>(re2::RE2::QuoteMeta(pattern), re2::RE2::Quiet);
    }
  }
  return *entry;
}

// Calls `visit` with each match, one behind the other as Python's findall takes them.
template <typename Visit>
int for_each_match(std::string_view text, const re2::RE2& pattern, Visit visit) {
  int count = 0;
  re2::StringPiece match;
  for (size_t at = 0; at <= text.size();) {
    if (!pattern.Match(piece(text), at, text.size(), re2::RE2::UNANCHORED, &match, 1)) break;
    const size_t begin = static_cast<size_t>(match.data() - text.data());
    count += visit(text.substr(begin, match.size())) ? 1 : 0;
    at = begin + std::max<size_t>(match.size(), 1);
  }
  return count;
}

int count_matches(std::string_view text, const re2::RE2& pattern) {
  return for_each_match(text, pattern, [](std::string_view) { return true; });
}

bool holds(std::string_view text, const re2::RE2& pattern) {
  return re2::RE2::PartialMatch(piece(text), pattern);
}

bool compare(int64_t value, const Json& arguments, const char* relation, const char* limit) {
  const int64_t bound = arguments[limit].get<int64_t>();
  return arguments[relation].get_ref<const std::string&>() == "less than" ? value < bound
                                                                          : value >= bound;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0;;) {
    const size_t end = text.find(separator, at);
    parts.push_back(text.substr(at, end == std::string_view::npos ? end : end - at));
    if (end == std::string_view::npos) return parts;
    at = end + separator.size();
  }
}

const std::string& text_of(const Json& arguments, const char* key) {
  return arguments[key].get_ref<const std::string&>();
}

using Check = bool (*)(const Json& arguments, std::string_view text);

bool keywords_exist(const Json& arguments, std::string_view text) {
  return std::all_of(arguments["keywords"].begin(), arguments["keywords"].end(),
                     [&](const Json& keyword) {
                       return holds(text, compiled("(?i)" + keyword.get<std::string>()));
                     });
}

bool keyword_frequency(const Json& arguments, std::string_view text) {
  const std::string keyword(strip(text_of(arguments, "keyword")));
  return compare(count_matches(text, compiled("(?i)" + keyword)), arguments, "relation",
                 "frequency");
}

bool no_forbidden_words(const Json& arguments, std::string_view text) {
  return std::none_of(arguments["forbidden_words"].begin(), arguments["forbidden_words"].end(),
                      [&](const Json& word) {
                        const std::string pattern = fmt::format("(?i)(?:^|{0})(?:{1})(?:$|{0})",
                                                                kNotWord, word.get<std::string>());
                        return holds(text, compiled(pattern));
                      });
}

// The official checker replaces a letter that is none ("!", "#") by one drawn at random.
bool letter_frequency(const Json& arguments, std::string_view text) {
  const std::string letter = lower(strip(text_of(arguments, "letter")));
  const std::string lowered = lower(text);
  int64_t count = 0;
  for (size_t at = lowered.find(letter); !letter.empty() && at != std::string::npos;
       at = lowered.find(letter, at + letter.size())) {
    ++count;
  }
  return compare(count, arguments, "let_relation", "let_frequency");
}

bool response_language(const Json& arguments, std::string_view text) {
  const std::string found = detect_language(text);
  return found.empty() || found == text_of(arguments, "language");
}

bool number_sentences(const Json& arguments, std::string_view text) {
  return compare(count_sentences(code_points(text)), arguments, "relation", "num_sentences");
}

bool number_paragraphs(const Json& arguments, std::string_view text) {
  static const re2::RE2 kDivider(fmt::format(R"({0}?\*\*\*{0}?)", kSpace));
  int64_t count = 0;
  size_t begin = 0;
  bool empty_inside = false;
  const auto paragraph = [&](std::string_view part, bool first, bool last) {
    if (!strip(part).empty()) {
      ++count;
    } else if (!first && !last) {
      empty_inside = true;
    }
  };
  for_each_match(text, kDivider, [&](std::string_view match) {
    const size_t at = static_cast<size_t>(match.data() - text.data());
    paragraph(text.substr(begin, at - begin), begin == 0, false);
    begin = at + match.size();
    return true;
  });
  paragraph(text.substr(begin), begin == 0, true);
  return !empty_inside && count == arguments["num_paragraphs"].get<int64_t>();
}

bool number_words(const Json& arguments, std::string_view text) {
  return compare(count_words(text), arguments, "relation", "num_words");
}

// Without quotation marks before it, up to the first punctuation mark.
std::string first_word(std::string_view paragraph) {
  size_t end = 0;
  while (end < paragraph.size() && !is_space(static_cast<unsigned char>(paragraph[end]))) ++end;
  std::string_view word = paragraph.substr(0, end);
  while (word.starts_with('\'')) word.remove_prefix(1);
  while (word.starts_with('"')) word.remove_prefix(1);
  return lower(word.substr(0, word.find_first_of(".,?!'\"")));
}

bool nth_paragraph_first_word(const Json& arguments, std::string_view text) {
  const std::vector<std::string_view> paragraphs = split_at(text, "\n\n");
  const auto count = std::count_if(paragraphs.begin(), paragraphs.end(),
                                   [](std::string_view part) { return !strip(part).empty(); });
  const int64_t nth = arguments["nth_paragraph"].get<int64_t>();
  if (nth < 1 || nth > count) return false;
  const std::string_view paragraph = strip(paragraphs[static_cast<size_t>(nth - 1)]);
  return !paragraph.empty() && count == arguments["num_paragraphs"].get<int64_t>() &&
         first_word(paragraph) == lower(text_of(arguments, "first_word"));
}

bool number_placeholders(const Json& arguments, std::string_view text) {
  static const re2::RE2 kPlaceholder(R"(\[.*?\])");
  return count_matches(text, kPlaceholder) >= arguments["num_placeholders"].get<int64_t>();
}

bool postscript(const Json& arguments, std::string_view text) {
  const std::string marker(strip(text_of(arguments, "postscript_marker")));
  if (marker == "P.P.S")
    return holds(lower(text), compiled(fmt::format(R"(p\.{0}?p\.{0}?s)", kSpace)));
  if (marker == "P.S.") return holds(lower(text), compiled(fmt::format(R"(p\.{0}?s\.)", kSpace)));
  return holds(lower(text), compiled(lower(marker)));
}

bool number_bullet_lists(const Json& arguments, std::string_view text) {
  static const re2::RE2 kStar(fmt::format(R"((?m)^{}*\*[^*].*$)", kSpace));
  static const re2::RE2 kDash(fmt::format(R"((?m)^{}*-.*$)", kSpace));
  return count_matches(text, kStar) + count_matches(text, kDash) ==
         arguments["num_bullets"].get<int64_t>();
}

bool constrained_response(const Json&, std::string_view text) {
  for (const char* option : {"My answer is yes.", "My answer is no.", "My answer is maybe."}) {
    if (text.find(option) != std::string_view::npos) return true;
  }
  return false;
}

bool number_highlighted_sections(const Json& arguments, std::string_view text) {
  static const re2::RE2 kSingle(R"(\*[^\n*]*\*)"), kDouble(R"(\*\*[^\n*]*\*\*)");
  const auto inner = [](std::string_view match) {
    return !strip(match.substr(1, match.size() - 2)).empty();
  };
  const auto inner_of_double = [](std::string_view match) {
    return !strip(match.substr(2, match.size() - 4)).empty();
  };
  return for_each_match(text, kSingle, inner) + for_each_match(text, kDouble, inner_of_double) >=
         arguments["num_highlights"].get<int64_t>();
}

bool multiple_sections(const Json& arguments, std::string_view text) {
  const std::string splitter(strip(text_of(arguments, "section_spliter")));
  const re2::RE2& pattern = compiled(fmt::format(R"({0}?{1}{0}?\p{{Nd}}+{0}?)", kSpace, splitter));
  return count_matches(text, pattern) >= arguments["num_sections"].get<int64_t>();
}

bool json_format(const Json&, std::string_view text) {
  text = strip(text);
  for (const std::string_view fence : {"```json", "```Json", "```JSON", "```"}) {
    if (text.starts_with(fence)) text.remove_prefix(fence.size());
  }
  if (text.ends_with("```")) text.remove_suffix(3);
  return Json::accept(strip(text));
}

bool title(const Json&, std::string_view text) {
  static const re2::RE2 kTitle(R"(<<[^\n]+>>)");
  return for_each_match(text, kTitle, [](std::string_view match) {
           const size_t first = match.find_first_not_of('<');
           if (first == std::string_view::npos) return false;
           const size_t last = match.find_last_not_of('>');
           return last >= first && !strip(match.substr(first, last - first + 1)).empty();
         }) > 0;
}

bool two_responses(const Json&, std::string_view text) {
  const std::vector<std::string_view> parts = split_at(text, "******");
  std::vector<std::string_view> responses;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (const std::string_view part = strip(parts[i]); !part.empty()) {
      responses.push_back(part);
    } else if (i != 0 && i + 1 != parts.size()) {
      return false;
    }
  }
  return responses.size() == 2 && responses[0] != responses[1];
}

bool repeat_prompt(const Json& arguments, std::string_view text) {
  return lower(strip(text)).starts_with(lower(strip(text_of(arguments, "prompt_to_repeat"))));
}

bool end_checker(const Json& arguments, std::string_view text) {
  text = strip(text);
  while (text.starts_with('"')) text.remove_prefix(1);
  while (text.ends_with('"')) text.remove_suffix(1);
  return lower(text).ends_with(lower(strip(text_of(arguments, "end_phrase"))));
}

bool english(std::string_view text) {
  const std::string language = detect_language(text);
  return language.empty() || language == "en";
}

bool english_capital(const Json&, std::string_view text) {
  return all_upper(code_points(text)) && english(text);
}

bool english_lowercase(const Json&, std::string_view text) {
  return all_lower(code_points(text)) && english(text);
}

bool capital_word_frequency(const Json& arguments, std::string_view text) {
  return compare(count_capital_words(code_points(text)), arguments, "capital_relation",
                 "capital_frequency");
}

bool no_comma(const Json&, std::string_view text) {
  return text.find(',') == std::string_view::npos;
}

bool quotation(const Json&, std::string_view text) {
  text = strip(text);
  return text.size() > 1 && text.front() == '"' && text.back() == '"';
}

struct Kind {
  Check check;
  std::vector<const char*> texts, numbers, lists;  // the arguments that it needs
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> kKinds = {
      {"keywords:existence", {keywords_exist, {}, {}, {"keywords"}}},
      {"keywords:frequency", {keyword_frequency, {"keyword", "relation"}, {"frequency"}, {}}},
      {"keywords:forbidden_words", {no_forbidden_words, {}, {}, {"forbidden_words"}}},
      {"keywords:letter_frequency",
       {letter_frequency, {"letter", "let_relation"}, {"let_frequency"}, {}}},
      {"language:response_language", {response_language, {"language"}, {}, {}}},
      {"length_constraints:number_sentences",
       {number_sentences, {"relation"}, {"num_sentences"}, {}}},
      {"length_constraints:number_paragraphs", {number_paragraphs, {}, {"num_paragraphs"}, {}}},
      {"length_constraints:number_words", {number_words, {"relation"}, {"num_words"}, {}}},
      {"length_constraints:nth_paragraph_first_word",
       {nth_paragraph_first_word, {"first_word"}, {"num_paragraphs", "nth_paragraph"}, {}}},
      {"detectable_content:number_placeholders",
       {number_placeholders, {}, {"num_placeholders"}, {}}},
      {"detectable_content:postscript", {postscript, {"postscript_marker"}, {}, {}}},
      {"detectable_format:number_bullet_lists", {number_bullet_lists, {}, {"num_bullets"}, {}}},
      {"detectable_format:constrained_response", {constrained_response, {}, {}, {}}},
      {"detectable_format:number_highlighted_sections",
       {number_highlighted_sections, {}, {"num_highlights"}, {}}},
      {"detectable_format:multiple_sections",
       {multiple_sections, {"section_spliter"}, {"num_sections"}, {}}},
      {"detectable_format:json_format", {json_format, {}, {}, {}}},
      {"detectable_format:title", {title, {}, {}, {}}},
      {"combination:two_responses", {two_responses, {}, {}, {}}},
      {"combination:repeat_prompt", {repeat_prompt, {"prompt_to_repeat"}, {}, {}}},
      {"startend:end_checker", {end_checker, {"end_phrase"}, {}, {}}},
      {"startend:quotation", {quotation, {}, {}, {}}},
      {"change_case:capital_word_frequency",
       {capital_word_frequency, {"capital_relation"}, {"capital_frequency"}, {}}},
      {"change_case:english_capital", {english_capital, {}, {}, {}}},
      {"change_case:english_lowercase", {english_lowercase, {}, {}, {}}},
      {"punctuation:no_comma", {no_comma, {}, {}, {}}}};
  return kKinds;
}

Status check_arguments(const std::string& id, const Json& arguments) {
  const auto found = kinds().find(id);
  if (found == kinds().end()) {
    return Error{
        fmt::format("instruction {}: there is none of that name in IFEval", quote_for_message(id))};
  }
  const auto wrong = [&](const char* key, const char* expected) {
    return Error{fmt::format("instruction {}: argument \"{}\" must be {}", id, key, expected)};
  };
  for (const char* key : found->second.texts) {
    if (!arguments.contains(key) || !arguments[key].is_string()) return wrong(key, "a text");
  }
  for (const char* key : found->second.numbers) {
    if (!arguments.contains(key) || !arguments[key].is_number()) return wrong(key, "a number");
  }
  for (const char* key : found->second.lists) {
    if (!arguments.contains(key) || !arguments[key].is_array()) return wrong(key, "a list");
    for (const Json& each : arguments[key]) {
      if (!each.is_string()) return wrong(key, "a list of texts");
    }
  }
  return {};
}

std::string without_stars(std::string_view text) {
  std::string out(text);
  out.erase(std::remove(out.begin(), out.end(), '*'), out.end());
  return out;
}

}  // namespace

Result<std::vector<Instruction>> read_instructions(const std::string& ids,
                                                   const std::string& kwargs) {
  ASSAY_TRY(const Json id_list, parse_json(ids, "instruction_id_list"));
  ASSAY_TRY(const Json arguments, parse_json(kwargs, "kwargs"));
  if (!id_list.is_array() || !arguments.is_array() || id_list.size() != arguments.size()) {
    return Error{"instruction_id_list and kwargs must be lists of one length"};
  }
  std::vector<Instruction> instructions;
  for (size_t i = 0; i < id_list.size(); ++i) {
    if (!id_list[i].is_string() || !arguments[i].is_object()) {
      return Error{"instruction_id_list must be texts, kwargs objects"};
    }
    ASSAY_TRY_STATUS(check_arguments(id_list[i].get<std::string>(), arguments[i]));
    instructions.push_back({id_list[i].get<std::string>(), arguments[i]});
  }
  return instructions;
}

bool follows(const Instruction& instruction, std::string_view response) {
  return !strip(response).empty() &&
         kinds().at(instruction.id).check(instruction.arguments, response);
}

bool follows_loosely(const Instruction& instruction, std::string_view response) {
  if (follows(instruction, response)) return true;
  const size_t first = response.find('\n'), last = response.rfind('\n');
  const bool lines = first != std::string_view::npos;
  const std::string_view no_first = lines ? strip(response.substr(first + 1)) : "";
  const std::string_view no_last = lines ? strip(response.substr(0, last)) : "";
  const std::string_view neither =
      lines && last > first ? strip(response.substr(first + 1, last - first - 1)) : "";
  for (const std::string_view form : {no_first, no_last, neither}) {
    if (follows(instruction, form)) return true;
  }
  if (response.find('*') == std::string_view::npos) return false;
  for (const std::string_view form : {response, no_first, no_last, neither}) {
    if (follows(instruction, without_stars(form))) return true;
  }
  return false;
}

}  // namespace assay::ifeval
