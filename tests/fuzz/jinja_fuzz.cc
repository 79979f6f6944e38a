// Any bytes as a chat template, rendered with a conversation if it parses.
#include "engine/tokenizer/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed =
      assay::ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!parsed.ok()) return 0;
  assay::ChatOptions options;
  options.bos_token = "<s>";
  const std::vector<assay::ChatMessage> messages = {
      {"system", "s"}, {"user", "a b"}, {"assistant", "<think>x</think>é"}};
  (void)parsed->render(messages, options);
  return 0;
}
