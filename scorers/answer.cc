#include "scorers/answer.h"

namespace assay {

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

std::string last_match(std::string_view text, const re2::RE2& pattern) {
  re2::StringPiece rest(text.data(), text.size());
  std::string captured, last;
  while (re2::RE2::FindAndConsume(&rest, pattern, &captured)) last = captured;
  return last;
}

}  // namespace assay
