// The content of \boxed{…}, which data sets and models put their answers in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay {

// The content of the last balanced, non-empty \boxed{…} or \fbox{…} of `text`; linear time.
std::optional<std::string> last_boxed(std::string_view text);

}  // namespace assay
