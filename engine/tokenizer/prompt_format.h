// What turns a conversation into a model's tokens: its tokenizer and its chat template.
#pragma once

#include <optional>
#include <string>

#include "engine/model/gguf.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "harness/base/result.h"

namespace assay {

struct PromptFormat {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template;  // none for a base model

  // Of a .gguf file or a folder with tokenizer.json; weights need not be there.
  static Result<PromptFormat> open(const std::string& path);
  // The same of a file that is open; null: `path` is a folder.
  static Result<PromptFormat> of(const GgufFile* file, const std::string& path);
};

}  // namespace assay
