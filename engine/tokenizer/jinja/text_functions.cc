#include "engine/tokenizer/jinja/text_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/text.h"

namespace assay::jinja {

const Value* argument(const Arguments& arguments, size_t position, const char* name) {
  if (position < arguments.positional.size()) return &arguments.positional[position];
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string text_argument(const Arguments& arguments, size_t position, const char* name,
                          const std::string& fallback) {
  const Value* value = argument(arguments, position, name);
  if (value == nullptr || value->is_none()) return fallback;
  if (value->as_string() == nullptr)
    throw TemplateError{fmt::format("\"{}\" must be a string", name)};
  return *value->as_string();
}

int64_t int_argument(const Arguments& arguments, size_t position, const char* name,
                     int64_t fallback) {
  const Value* value = argument(arguments, position, name);
  if (value == nullptr || value->is_none()) return fallback;
  if (value->as_int() == nullptr) {
    throw TemplateError{fmt::format("\"{}\" must be a whole number", name)};
  }
  return *value->as_int();
}

std::string strip(const std::string& text, std::string_view set, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end && set.find(text[begin]) != std::string_view::npos) ++begin;
  while (right && end > begin && set.find(text[end - 1]) != std::string_view::npos) --end;
  return text.substr(begin, end - begin);
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string capitalize(const std::string& text) {
  std::string out = to_lower_ascii(text);
  if (!out.empty()) out.replace(0, 1, upper(out.substr(0, 1)));
  return out;
}

std::string title(const std::string& text) {
  std::string out;
  bool start = true;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    out += start ? upper(std::string(1, c)) : to_lower_ascii(std::string(1, c));
    start = !letter;
  }
  return out;
}

List split_text(const std::string& text, const Arguments& arguments) {
  List parts;
  const std::string separator = text_argument(arguments, 0, "sep", "");
  int64_t left = int_argument(arguments, 1, "maxsplit", -1);
  if (separator.empty()) {  // on runs of white space
    size_t at = 0;
    while ((at = text.find_first_not_of(kSpace, at)) != std::string::npos) {
      const size_t end = left-- == 0 ? strip(text, kSpace, false, true).size()
                                     : std::min(text.find_first_of(kSpace, at), text.size());
      parts.emplace_back(text.substr(at, end - at));
      at = end;
    }
    return parts;
  }
  size_t start = 0;
  for (size_t at; left-- != 0 && (at = text.find(separator, start)) != std::string::npos;) {
    parts.emplace_back(text.substr(start, at - start));
    start = at + separator.size();
  }
  parts.emplace_back(text.substr(start));
  return parts;
}

List rsplit_text(const std::string& text, const Arguments& arguments) {
  const std::string separator = text_argument(arguments, 0, "sep", "");
  if (separator.empty()) throw TemplateError{"rsplit needs a separator"};
  int64_t left = int_argument(arguments, 1, "maxsplit", -1);
  List parts;
  std::string rest = text;
  for (size_t at; left-- != 0 && (at = rest.rfind(separator)) != std::string::npos;) {
    parts.emplace_back(rest.substr(at + separator.size()));
    rest.resize(at);
  }
  parts.emplace_back(std::move(rest));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::string replace_text(const std::string& text, const Arguments& arguments) {
  const std::string from = text_argument(arguments, 0, "old", "");
  const std::string to = text_argument(arguments, 1, "new", "");
  if (from.empty()) return text;
  constexpr size_t kMaxBytes = 64u << 20;
  if (to.size() > from.size() && text.size() / from.size() > kMaxBytes / to.size()) {
    throw TemplateError{"replace: the result is too long; refused"};
  }
  int64_t left = int_argument(arguments, 2, "count", -1);
  std::string out;
  size_t start = 0;
  for (size_t at; left-- != 0 && (at = text.find(from, start)) != std::string::npos;) {
    out.append(text, start, at - start).append(to);
    start = at + from.size();
  }
  return out.append(text, start);
}

List items_of(const Value& value) {
  List out;
  if (const Dict* dict = value.as_dict()) {
    for (const auto& [key, item] : *dict) out.emplace_back(List{Value(key), item});
  } else if (!value.is_undefined()) {
    throw TemplateError{"items needs a dict"};
  }
  return out;
}

int64_t to_int(const Value& value) {
  if (const int64_t* whole = value.as_int()) return *whole;
  if (const bool* flag = value.as_bool()) return *flag ? 1 : 0;
  if (const double* real = value.as_float()) {
    return std::abs(*real) < 9e18 ? static_cast<int64_t>(*real) : 0;
  }
  if (const std::string* text = value.as_string()) return std::atoll(text->c_str());
  return 0;
}

double to_float(const Value& value) {
  if (const double* real = value.as_float()) return *real;
  if (const std::string* text = value.as_string()) {
    char* end = nullptr;
    const double real = std::strtod(text->c_str(), &end);
    return end == text->c_str() || *end != 0 ? 0.0 : real;
  }
  return static_cast<double>(to_int(value));
}

}  // namespace assay::jinja
