// Any bytes as a GGUF model: configuration, weights and tokenizer are read, or an error says why
// not.
#include "engine/model/weights.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const assay::FuzzFolder folder;
  const std::string path = folder.write("model.gguf", data, size);
  const auto file = assay::GgufFile::open(path);
  if (!file.ok()) return 0;
  if (const auto tokenizer = assay::Tokenizer::from_gguf(*file); tokenizer.ok()) {
    tokenizer->decode(tokenizer->encode("The 12 cats<s>\n", true));
  }
  (void)assay::ModelFiles::open(path);
  return 0;
}
