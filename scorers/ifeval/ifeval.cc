#include "scorers/ifeval/ifeval.h"

#include <vector>

#include "scorers/answer.h"
#include "scorers/ifeval/instructions.h"

namespace assay {

Verdict IfevalScorer::score(const Item& item, const Completion& completion) const {
  Verdict verdict;
  const auto field = [&](const char* name) {
    const auto found = item.fields.find(name);
    return found == item.fields.end() ? std::string() : found->second;
  };
  const auto instructions =
      ifeval::read_instructions(field("instruction_id_list"), field("kwargs"));
  if (!instructions.ok()) {
    verdict.rule = "no_instructions";
    verdict.detail = instructions.error().message;
    return verdict;
  }
  const double count = static_cast<double>(instructions->size());
  verdict = unanswered(completion);
  if (!verdict.rule.empty()) {
    // A response that never came follows nothing.
    if (verdict.correctness == Correctness::kIncorrect) {
      verdict.values = {{"instructions", count}, {"strict", 0}, {"loose", 0}, {"all_loose", 0}};
    }
    return verdict;
  }
  const std::string_view text = *answer_part(completion.text, completion.opens_thought);
  // What follows a thought begins with line ends that are no part of the response.
  const std::string_view response =
      text.substr(std::min(text.size(), text.find_first_not_of('\n')));
  double strict = 0, loose = 0;
  for (const ifeval::Instruction& instruction : *instructions) {
    if (ifeval::follows(instruction, response)) {
      ++strict;
      ++loose;
      continue;
    }
    verdict.detail += (verdict.detail.empty() ? "not followed: " : ", ") + instruction.id;
    if (ifeval::follows_loosely(instruction, response)) {
      ++loose;
      verdict.detail += " (loosely it is)";
    }
  }
  verdict.has_answer = true;
  verdict.rule = "instructions";
  verdict.correctness = strict == count ? Correctness::kCorrect : Correctness::kIncorrect;
  verdict.values = {{"instructions", count},
                    {"strict", strict},
                    {"loose", loose},
                    {"all_loose", loose == count ? 1.0 : 0.0}};
  return verdict;
}

}  // namespace assay
