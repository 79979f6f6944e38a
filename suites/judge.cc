#include "suites/judge.h"

#include <fmt/format.h>

#include <map>

namespace assay {
namespace {

Result<JudgePrompt> read_judge_prompt(const Json& json, const std::string& place) {
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  JudgePrompt prompt;
  ASSAY_TRY(prompt.name, reader.text("name"));
  ASSAY_TRY(prompt.file, reader.text_or("file", ""));
  ASSAY_TRY(prompt.with, reader.text_or("with", ""));
  ASSAY_TRY(const int64_t turn, reader.integer_or("turn", 0));
  prompt.turn = static_cast<int>(turn);
  ASSAY_TRY(prompt.system, reader.text_or("system", ""));
  ASSAY_TRY(prompt.prompt, reader.text_or("prompt", ""));
  if (prompt.file.empty() == prompt.prompt.empty()) {
    return reader.wrong("prompt", "given, or a file that has it, and not both");
  }
  ASSAY_TRY_STATUS(reader.no_other_keys());
  return prompt;
}

}  // namespace

Result<JudgeSpec> read_judge(const Json& json, const std::string& place) {
  static const std::map<std::string, JudgeKind> kKinds = {{"pairwise", JudgeKind::kPairwise},
                                                          {"rating", JudgeKind::kRating},
                                                          {"correctness", JudgeKind::kCorrectness}};
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  JudgeSpec judge;
  ASSAY_TRY(const std::string kind, reader.text("kind"));
  if (!kKinds.contains(kind)) return reader.wrong("kind", "pairwise, rating or correctness");
  judge.kind = kKinds.at(kind);
  ASSAY_TRY(judge.baseline, reader.text_or("baseline", ""));
  if (judge.baseline.empty() == (judge.kind == JudgeKind::kPairwise)) {
    return reader.wrong("baseline", "a field if the kind is pairwise, and only then");
  }
  ASSAY_TRY(const int64_t max_tokens, reader.integer("max_tokens"));
  if (max_tokens < 1 || max_tokens > INT32_MAX) return reader.wrong("max_tokens", "at least 1");
  judge.max_tokens = static_cast<int>(max_tokens);
  ASSAY_TRY(judge.temperature, reader.number_or("temperature", 0));
  const Json& prompts = reader.any("prompts");
  if (!prompts.is_array() || prompts.empty()) return reader.wrong("prompts", "a list");
  for (size_t i = 0; i < prompts.size(); ++i) {
    ASSAY_TRY(JudgePrompt prompt,
              read_judge_prompt(prompts[i], fmt::format("{}.prompts[{}]", place, i)));
    judge.prompts.push_back(std::move(prompt));
  }
  ASSAY_TRY_STATUS(reader.no_other_keys());
  return judge;
}

}  // namespace assay
