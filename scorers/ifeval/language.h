// The language of a text, by CLD2.
#pragma once

#include <string>
#include <string_view>

namespace assay::ifeval {

// An ISO 639-1 code as langdetect gives it ("zh-cn", "zh-tw" for Chinese); empty where nothing can
// be said, as of a text without letters. The official checker uses langdetect, which draws at
// random; the two differ on short and mixed texts.
std::string detect_language(std::string_view text);

}  // namespace assay::ifeval
