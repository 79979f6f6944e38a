// How a suite's answers are put before a judge: the "judge" of a suite file.
//
//   "judge": {
//     "kind": "pairwise",           the answer and the baseline's, in both orders: [[A>>B]] …
//     [[B>>A]]
//             "rating"              the answer alone: [[1]] … [[10]]
//             "correctness"         the answer and the gold: "correct: yes", "confidence: 80%"
//     "baseline": "baseline",       pairwise: the item's field with the other answer
//     "max_tokens": 4096, "temperature": 0,
//     "prompts": [{
//       "name": "single-math-v1",
//       "turn": 1,                  of items of that turn; without it of all
//       "with": "reference",        of items whose field is not empty; the first prompt that fits
//       "file": "mt_bench/judge_prompts.jsonl",   system and prompt are those of that name there
//       "system": "…", "prompt": "…"
//     }]
//   }
//
// In a prompt {{field}} is the item's; {{answer}}, or {{answer_a}} and {{answer_b}}, the answers;
// {{first_answer}} that of the first turn. Prompts from a file write {question} with one brace.
#pragma once

#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

enum class JudgeKind { kPairwise, kRating, kCorrectness };

struct JudgePrompt {
  std::string name, file, with;
  int turn = 0;  // 0: any
  std::string system, prompt;
};

struct JudgeSpec {
  JudgeKind kind = JudgeKind::kPairwise;
  std::string baseline;
  int max_tokens = 0;
  double temperature = 0;
  std::vector<JudgePrompt> prompts;
};

Result<JudgeSpec> read_judge(const Json& json, const std::string& place);

}  // namespace assay
