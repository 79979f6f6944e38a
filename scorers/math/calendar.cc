#include "scorers/math/calendar.h"

#include <re2/re2.h>

#include <array>
#include <optional>
#include <string>

#include "harness/base/text.h"

namespace assay::math {
namespace {

struct Time {
  int minutes = 0;  // since midnight, or since 12:00 of either half of the day
  int seconds = 0;
  bool half = false;  // a.m. or p.m. is not said
};

struct Date {
  int day = 0, month = 0;
  std::optional<int> year;
};

// Without LaTeX, in lower case, single spaces.
std::string plain(std::string_view text) {
  static const re2::RE2 kCommand(R"(\\(?:text|textbf|mathrm|mbox|mathbf)\s*\{([^{}]*)\})");
  static const re2::RE2 kSpaces(R"((?:\\[,;:! ]|~|\$|[ \t\n])+)");
  std::string out = to_lower_ascii(text);
  re2::RE2::GlobalReplace(&out, kCommand, R"( \1 )");
  re2::RE2::GlobalReplace(&out, kSpaces, " ");
  std::string_view view = trim(out);
  // The full stop of a sentence, but not that of "p.m."
  if (view.ends_with('.') && !view.ends_with(".m.")) view.remove_suffix(1);
  return std::string(view);
}

std::optional<Time> time_of(const std::string& text) {
  static const re2::RE2 kTime(
      R"((\d{1,2})(?: ?: ?([0-5]\d))?(?::([0-5]\d))? ?(a\.? ?m\.?|p\.? ?m\.?)?)");
  int hour = 0;
  std::string minute, second, half;
  if (!re2::RE2::FullMatch(text, kTime, &hour, &minute, &second, &half)) return std::nullopt;
  if (minute.empty() && half.empty()) return std::nullopt;  // a number
  if (hour > (half.empty() ? 24 : 12) || (hour == 0 && !half.empty())) return std::nullopt;
  Time time;
  time.half = half.empty() && hour <= 12;
  if (!half.empty()) hour = hour % 12 + (half[0] == 'p' ? 12 : 0);
  if (time.half) hour %= 12;
  time.minutes = 60 * hour + (minute.empty() ? 0 : std::stoi(minute));
  time.seconds = second.empty() ? 0 : std::stoi(second);
  return time;
}

std::optional<Date> date_of(const std::string& text) {
  static constexpr std::array<std::string_view, 12> kMonths = {
      "january", "february", "march",     "april",   "may",      "june",
      "july",    "august",   "september", "october", "november", "december"};
  static const re2::RE2 kMonthFirst(
      R"(([a-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{3,4}))?)");
  static const re2::RE2 kDayFirst(
      R"((?:the )?(\d{1,2})(?:st|nd|rd|th)?(?: of)? ([a-z]{3,9})\.?(?:,? (\d{3,4}))?)");
  static const re2::RE2 kIso(R"((\d{4})-(0[1-9]|1[0-2])-([0-3]\d))");
  Date date;
  std::string month, year;
  int iso_year = 0;
  if (re2::RE2::FullMatch(text, kIso, &iso_year, &date.month, &date.day)) {
    date.year = iso_year;
    if (date.day < 1 || date.day > 31) return std::nullopt;
    return date;
  }
  if (!re2::RE2::FullMatch(text, kMonthFirst, &month, &date.day, &year) &&
      !re2::RE2::FullMatch(text, kDayFirst, &date.day, &month, &year)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < kMonths.size(); ++i) {
    const bool whole = month == kMonths[i], shortened = month == kMonths[i].substr(0, 3);
    if (whole || shortened || (month == "sept" && i == 8)) date.month = static_cast<int>(i + 1);
  }
  if (date.month == 0 || date.day < 1 || date.day > 31) return std::nullopt;
  if (!year.empty()) date.year = std::stoi(year);
  return date;
}

}  // namespace

std::optional<std::string_view> last_date(std::string_view text) {
  // With a capital letter: "5 may enter".
  static const re2::RE2 kDate(
      R"((\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?)"
      R"((?:,? \d{4})?\b|\b\d{1,2}(?:st|nd|rd|th)?(?: of)? )"
      R"((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]*\.?(?:,? \d{4})?\b))");
  re2::StringPiece rest(text.data(), text.size()), found;
  std::optional<std::string_view> last;
  while (re2::RE2::FindAndConsume(&rest, kDate, &found)) {
    const std::string_view date(found.data(), found.size());
    if (date_of(plain(date))) last = date;
  }
  return last;
}

Decision compare_calendar(std::string_view gold, std::string_view answer, Reading reading) {
  constexpr size_t kMostBytes = 60;
  if (gold.size() > kMostBytes || answer.size() > kMostBytes) return {Truth::kUnknown, ""};
  const std::string a = plain(gold), b = plain(answer);
  const auto truth = [](bool equal) { return equal ? Truth::kEqual : Truth::kDifferent; };
  const auto x = time_of(a), y = time_of(b);
  if (x && y && !(x->half && y->half)) {
    if (x->half != y->half && reading == Reading::kStrict) return {Truth::kDifferent, "time"};
    const int day = x->half || y->half ? 720 : 1440;
    return {truth(x->minutes % day == y->minutes % day && x->seconds == y->seconds), "time"};
  }
  const auto d = date_of(a), e = date_of(b);
  if (d && e) {
    const bool years = d->year && e->year ? *d->year == *e->year
                                          : reading == Reading::kReader || d->year == e->year;
    return {truth(d->day == e->day && d->month == e->month && years), "date"};
  }
  return {Truth::kUnknown, ""};
}

}  // namespace assay::math
