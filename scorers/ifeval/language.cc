#include "scorers/ifeval/language.h"

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

#include "scorers/ifeval/unicode.h"

namespace assay::ifeval {

std::string detect_language(std::string_view text) {
  // CLD2 takes capitals for shouting in any language.
  const std::string lowered = lower(text);
  CLD2::CLDHints hints{nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  CLD2::Language languages[3];
  int percent[3];
  double scores[3];
  int text_bytes = 0;
  bool reliable = false;
  CLD2::Language language = CLD2::ExtDetectLanguageSummary(
      lowered.data(), static_cast<int>(lowered.size()), true, &hints, CLD2::kCLDFlagBestEffort,
      languages, percent, scores, nullptr, &text_bytes, &reliable);
  if (language == CLD2::UNKNOWN_LANGUAGE) return {};
  const std::string code = CLD2::LanguageCode(language);
  if (code == "zh") return "zh-cn";
  if (code == "zh-Hant") return "zh-tw";
  if (code == "iw") return "he";
  return code;
}

}  // namespace assay::ifeval
