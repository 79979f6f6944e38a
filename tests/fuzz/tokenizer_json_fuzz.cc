// Any bytes as tokenizer.json; a tokenizer that loads must encode and decode.
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const assay::FuzzFolder folder;
  folder.write("tokenizer.json", data, size);
  const auto tokenizer = assay::Tokenizer::from_folder(folder.path());
  if (tokenizer.ok()) tokenizer->decode(tokenizer->encode("The 12 cats<s>\n é", true));
  return 0;
}
