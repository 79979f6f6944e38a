#include "scorers/ifeval/unicode.h"

#include <utf8proc.h>

#include "harness/base/text.h"

namespace assay::ifeval {
namespace {

// The code point at `at`, which moves behind it.
char32_t next(std::string_view text, size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) {
    ++at;
    return byte;
  }
  utf8proc_int32_t c = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  if (length < 1) {
    ++at;
    return 0xFFFD;
  }
  at += static_cast<size_t>(length);
  return static_cast<char32_t>(c);
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// A cased letter is there, none of the case that `other` tells and no title case.
template <typename Wanted, typename Other>
bool all_of_case(std::u32string_view text, Wanted wanted, Other other) {
  bool any = false;
  for (const char32_t c : text) {
    if (other(c) || (c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT)) return false;
    any = any || wanted(c);
  }
  return any;
}

}  // namespace

std::u32string code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) out += next(text, at);
  return out;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) {
  if (c < 0x80) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

bool is_upper(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  return category(c) == UTF8PROC_CATEGORY_LU;
}

bool is_lower(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  return category(c) == UTF8PROC_CATEGORY_LL;
}

bool all_upper(std::u32string_view text) { return all_of_case(text, is_upper, is_lower); }
bool all_lower(std::u32string_view text) { return all_of_case(text, is_lower, is_upper); }

std::string_view strip(std::string_view text) {
  size_t first = 0;
  while (first < text.size()) {
    size_t at = first;
    if (!is_space(next(text, at))) break;
    first = at;
  }
  size_t end = text.size();
  while (end > first) {
    size_t start = end - 1;
    while (start > first && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    size_t at = start;
    if (!is_space(next(text, at))) break;
    end = start;
  }
  return text.substr(first, end - first);
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next(text, at);
    if (c < 0x80) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else {
      append_utf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

int count_words(std::string_view text) {
  int count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const bool word = is_word(next(text, at));
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return count;
}

}  // namespace assay::ifeval
