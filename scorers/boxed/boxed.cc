#include "scorers/boxed/boxed.h"

#include <re2/re2.h>

#include <vector>

#include "scorers/math/equal.h"

namespace assay {

std::optional<std::string> last_boxed(std::string_view text) {
  static const re2::RE2 kBox(R"(\\(?:boxed|fbox)\s*(\{))");
  std::vector<size_t> candidates;  // where the opening brace of each box is, ascending
  re2::StringPiece rest(text.data(), text.size()), brace;
  while (re2::RE2::FindAndConsume(&rest, kBox, &brace)) {
    candidates.push_back(static_cast<size_t>(brace.data() - text.data()));
  }
  if (candidates.empty()) return std::nullopt;
  std::vector<size_t> open;
  std::optional<std::pair<size_t, size_t>> best;
  for (size_t i = candidates.front(), next = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;  // \{ and \} do not group
    } else if (text[i] == '{') {
      const bool box = next < candidates.size() && candidates[next] == i;
      if (box) ++next;
      open.push_back(box ? i : std::string_view::npos);
    } else if (text[i] == '}' && !open.empty()) {
      const size_t begin = open.back();
      open.pop_back();
      if (begin == std::string_view::npos || (best && best->first > begin)) continue;
      const std::string_view inside = text.substr(begin + 1, i - begin - 1);
      if (inside.find_first_not_of(" \t\r\n") != std::string_view::npos) best = {begin + 1, i};
    }
    while (next < candidates.size() && candidates[next] <= i) ++next;
  }
  if (!best) return std::nullopt;
  return std::string(text.substr(best->first, best->second - best->first));
}

std::optional<std::string_view> answer_part(std::string_view text, bool opens_thought) {
  constexpr std::string_view kEnd = "</think>";
  const size_t end = text.rfind(kEnd);
  const size_t begin = text.rfind("<think>");
  const bool reopened =
      begin != std::string_view::npos && (end == std::string_view::npos || begin > end);
  if (reopened || (opens_thought && end == std::string_view::npos)) return std::nullopt;
  return end == std::string_view::npos ? text : text.substr(end + kEnd.size());
}

Verdict unanswered(const Completion& completion) {
  Verdict verdict;
  if (completion.finish_reason == FinishReason::kError) {
    verdict.rule = "no_completion";
    verdict.detail = completion.error;
  } else if (completion.finish_reason == FinishReason::kLength) {
    verdict.correctness = Correctness::kIncorrect;
    verdict.rule = "truncated";
    verdict.detail = "cut by the token limit";
  } else if (!answer_part(completion.text, completion.opens_thought)) {
    verdict.correctness = Correctness::kIncorrect;
    verdict.rule = "thought_not_closed";
    verdict.detail = "no </think>, so no answer";
  }
  return verdict;
}

Verdict BoxedScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict = unanswered(completion);
  if (!verdict.rule.empty()) return verdict;
  verdict.correctness = Correctness::kIncorrect;
  const auto boxed = last_boxed(*answer_part(completion.text, completion.opens_thought));
  if (!boxed) {
    verdict.rule = "no_box";
    verdict.detail = "no balanced \\boxed{} after the thought";
    return verdict;
  }
  verdict.has_answer = true;
  verdict.answer = *boxed;
  const math::Decision decision = math::compare(item.gold, *boxed);
  verdict.rule = decision.rule;
  if (decision.truth == math::Truth::kEqual) {
    verdict.correctness = Correctness::kCorrect;
  } else if (decision.truth == math::Truth::kUnknown) {
    verdict.correctness = Correctness::kUnscored;
    verdict.detail = "neither equality nor difference could be proven";
  }
  return verdict;
}

bool BoxedScorer::same_answer(std::string_view a, std::string_view b) const {
  return math::compare(a, b, math::Reading::kStrict).truth == math::Truth::kEqual;
}

}  // namespace assay
