// Any text as a request's body, as an answer's, and as the bytes of a stream.
#include <cstdlib>
#include <string_view>

#include "engine/remote/openai.h"
#include "harness/serve/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool chat : {false, true}) (void)assay::parse_serve_request(text, chat);
  for (const bool completions : {false, true}) {
    (void)assay::parse_replies(std::string(text), {completions, size % 2 == 0});
    (void)assay::parse_stream(std::string(text), {completions, false}, size % 3 == 0);
  }
  (void)assay::error_message(std::string(text));
  assay::TextStream stream({"stop", "\xC3\xA9"}, size % 2 == 0);
  std::string shown;
  for (size_t at = 0; at < size; at += 3) shown += stream.add(text.substr(at, 3));
  if (shown.size() > 3 * size) std::abort();
  return 0;
}
