#include "scorers/judge/judgment.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <map>
#include <numeric>

#include "harness/base/text.h"
#include "scorers/answer.h"

namespace assay {
namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::optional<int> parse_preference(std::string_view text) {
  static const re2::RE2 kDouble(R"(\[\[([ABC<>=]+)\]\])"), kSingle(R"(\[([ABC<>=]+)\])");
  static const std::map<std::string, int> kLabels = {
      {"A>>B", 2}, {"B<<A", 2}, {"A>B", 1},  {"B<A", 1}, {"A", 1},     {"A=B", 0},  {"B=A", 0},
      {"C", 0},    {"B>A", -1}, {"A<B", -1}, {"B", -1},  {"B>>A", -2}, {"A<<B", -2}};
  std::string label = last_match(text, kDouble);
  if (label.empty()) label = last_match(text, kSingle);
  const auto found = kLabels.find(label);
  return found == kLabels.end() ? std::nullopt : std::optional(found->second);
}

std::optional<double> parse_rating(std::string_view text) {
  static const re2::RE2 kDouble(R"(\[\[(\d{1,3}(?:\.\d+)?)\]\])"),
      kSingle(R"(\[(\d{1,3}(?:\.\d+)?)\])");
  double rating = 0;
  if (!re2::RE2::PartialMatch(piece(text), kDouble, &rating) &&
      !re2::RE2::PartialMatch(piece(text), kSingle, &rating)) {
    return std::nullopt;
  }
  return rating >= 1 && rating <= 10 ? std::optional(rating) : std::nullopt;
}

std::optional<Correctly> parse_correctness(std::string_view text) {
  static const re2::RE2 kCorrect(R"((?i)\bcorrect["*_]*\s*:\s*["*_]*\s*(yes|no)\b)");
  static const re2::RE2 kConfidence(R"((?i)\bconfidence["*_]*\s*:\s*["*_]*\s*(\d{1,3})(?:\.\d+)?)");
  const std::string correct = to_lower_ascii(last_match(text, kCorrect));
  if (correct.empty()) return std::nullopt;
  Correctly judgment{correct == "yes", std::nullopt};
  if (const std::string percent = last_match(text, kConfidence); !percent.empty()) {
    judgment.confidence = std::min(100, std::stoi(percent)) / 100.0;
  }
  return judgment;
}

Verdict pairwise_verdict(const std::vector<int>& preferences) {
  Verdict verdict;
  verdict.has_answer = true;
  verdict.rule = "judged";
  double won = 0, games = 0;
  for (const int preference : preferences) {
    const double weight = std::abs(preference) == 2 ? 3 : 1;
    games += weight;
    won += weight * (preference > 0 ? 1 : preference == 0 ? 0.5 : 0);
    verdict.answer += fmt::format("{}{:+d}", verdict.answer.empty() ? "" : " ", preference);
  }
  verdict.values = {{"won", won}, {"games", games}};
  verdict.correctness = won > games / 2 ? Correctness::kCorrect : Correctness::kIncorrect;
  return verdict;
}

Verdict rating_verdict(const std::vector<double>& ratings) {
  Verdict verdict;
  verdict.has_answer = true;
  verdict.rule = "judged";
  const double mean =
      std::accumulate(ratings.begin(), ratings.end(), 0.0) / static_cast<double>(ratings.size());
  verdict.answer = fmt::format("{:g}", mean);
  verdict.values["rating"] = mean;
  verdict.correctness = mean > 5 ? Correctness::kCorrect : Correctness::kIncorrect;
  return verdict;
}

Verdict correctness_verdict(const std::vector<Correctly>& judgments) {
  Verdict verdict;
  verdict.has_answer = true;
  verdict.rule = "judged";
  int yes = 0, with_confidence = 0;
  double confidence = 0;
  for (const Correctly& judgment : judgments) {
    yes += judgment.correct ? 1 : 0;
    if (!judgment.confidence) continue;
    ++with_confidence;
    confidence += *judgment.confidence;
  }
  const int no = static_cast<int>(judgments.size()) - yes;
  verdict.answer = yes > no ? "yes" : "no";
  if (yes == no) {
    verdict.detail = "the judges are split";
    return verdict;
  }
  verdict.correctness = yes > no ? Correctness::kCorrect : Correctness::kIncorrect;
  if (with_confidence > 0) verdict.values["confidence"] = confidence / with_confidence;
  return verdict;
}

Verdict JudgedScorer::score(const Item&, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (verdict.rule.empty()) {
    verdict.rule = "not_judged";
    verdict.detail = "give --judge MODEL to assay run or assay score";
  } else if (verdict.correctness == Correctness::kIncorrect) {
    verdict.values = {{"won", 0}, {"games", 2}, {"rating", 1}};
  }
  return verdict;
}

Style style_of(std::string_view answer) {
  static const re2::RE2 kCode("(?s)```.*?```");
  static const re2::RE2 kHeader(R"((?m)^#{1,6}\s)"), kItem(R"((?m)^\s*(?:\d+\.|[-*+])\s)");
  static const re2::RE2 kBold(R"(\*\*[^*\n]+\*\*|__[^_\n]+__)");
  std::string text(answer);
  Style style;
  style.characters = static_cast<double>(text.size());
  re2::RE2::GlobalReplace(&text, kCode, "");
  const auto count = [&](const re2::RE2& pattern) {
    re2::StringPiece match;
    double found = 0;
    for (size_t at = 0; pattern.Match(text, at, text.size(), re2::RE2::UNANCHORED, &match, 1);) {
      ++found;
      at = static_cast<size_t>(match.data() - text.data()) + match.size();
    }
    return found;
  };
  style.headers = count(kHeader);
  style.list_items = count(kItem);
  style.bold = count(kBold);
  return style;
}

}  // namespace assay
