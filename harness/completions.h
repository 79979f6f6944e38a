// Completions that somebody else's program made, to be scored here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// A JSONL file, a row a question: {"id": …, "completion": text or a list of them}. In place of "id"
// the data set's own key may stand (a name that ends in "_id", uid, key or idx). "finish_reason"
// (stop, length), "completion_tokens", "thought_tokens", "prompt_tokens", "logprob" and
// "opens_thought" (the prompt ended inside <think>) are those of all of a row's; "prompt" is the
// question's, as the model saw it. Several rows of one question are its samples in order.
class CompletionsFile {
 public:
  static Result<CompletionsFile> read(const std::string& path);

  const std::string& sha256() const { return sha256_; }
  // Null for a question that has no row.
  const std::vector<Completion>* of(const std::string& item_id) const;
  // The prompt's text; empty where the file does not say it.
  const std::string& prompt_of(const std::string& item_id) const;
  // How many each question has; an error names one that has another number.
  Result<int> samples_of_each() const;

 private:
  std::string path_, sha256_;
  std::map<std::string, std::vector<Completion>> by_id_;
  std::map<std::string, std::string> prompts_;
};

}  // namespace assay
