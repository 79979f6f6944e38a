// Times of day and dates as answers.
#pragma once

#include <optional>
#include <string_view>

#include "scorers/math/equal.h"

namespace assay::math {

// Whether two texts are the same time ("3:30 PM", "3:30 p.m.", "15:30") or date ("March 5, 2020",
// "5 March 2020", "2020-03-05", "March 5th"), by rule "time" or "date". Nothing (an empty rule)
// unless both can be read as one and, for times, one has a.m. or p.m. (else "3:30" is a ratio).
// With kReader a time without a.m. or p.m. equals both, a date without a year that of every year.
Decision compare_calendar(std::string_view gold, std::string_view answer, Reading reading);

// The last date with a month's name in a text.
std::optional<std::string_view> last_date(std::string_view text);

}  // namespace assay::math
