// Any two lines as answers: read, compared both ways, and taken out of text.
#include <string_view>

#include "harness/base/check.h"
#include "scorers/math/equal.h"
#include "scorers/math/extract.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const std::string_view gold = text.substr(0, line);
  const std::string_view answer = line == std::string_view::npos ? "" : text.substr(line + 1);
  (void)assay::math::compare(gold, answer);
  (void)assay::math::compare(answer, gold, assay::math::Reading::kStrict);
  (void)assay::math::compare(assay::math::extract_answer(text), "1");
  return 0;
}
