// Text inside HTML and XML.
#pragma once

#include <string>
#include <string_view>

namespace assay {

// For element content and for attributes in either quotes: & < > " ' become references, the quotes
// by number, as MarkupSafe does.
std::string escape_markup(std::string_view text);

}  // namespace assay
