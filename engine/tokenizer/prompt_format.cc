#include "engine/tokenizer/prompt_format.h"

#include "harness/base/file.h"

namespace assay {

Result<PromptFormat> PromptFormat::open(const std::string& path) {
  if (is_directory(path)) return of(nullptr, path);
  ASSAY_TRY(const GgufFile file, GgufFile::open(path));
  return of(&file, path);
}

Result<PromptFormat> PromptFormat::of(const GgufFile* file, const std::string& path) {
  PromptFormat format;
  if (file != nullptr) {
    ASSAY_TRY(format.tokenizer, Tokenizer::from_gguf(*file));
  } else {
    ASSAY_TRY(format.tokenizer, Tokenizer::from_folder(path));
  }
  if (!format.tokenizer.chat_template().empty()) {
    ASSAY_TRY(format.chat_template, ChatTemplate::parse(format.tokenizer.chat_template(), path));
  }
  return format;
}

}  // namespace assay
