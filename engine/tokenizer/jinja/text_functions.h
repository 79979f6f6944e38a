// What filters and methods of the template language share: their arguments, and Python's functions
// on text. Upper and lower case are ASCII's.
#pragma once

#include <string>
#include <string_view>

#include "engine/tokenizer/jinja/value.h"

namespace assay::jinja {

constexpr std::string_view kSpace = " \t\r\n\f\v";

// By position or by name; null if it is not given.
const Value* argument(const Arguments& arguments, size_t position, const char* name);
std::string text_argument(const Arguments& arguments, size_t position, const char* name,
                          const std::string& fallback);
int64_t int_argument(const Arguments& arguments, size_t position, const char* name,
                     int64_t fallback);

std::string strip(const std::string& text, std::string_view set, bool left, bool right);
std::string upper(std::string text);
std::string capitalize(const std::string& text);
std::string title(const std::string& text);
List split_text(const std::string& text, const Arguments& arguments);
List rsplit_text(const std::string& text, const Arguments& arguments);
std::string replace_text(const std::string& text, const Arguments& arguments);
// (key, value) pairs of a dict.
List items_of(const Value& value);
// Python's int(): 0 where that fails.
int64_t to_int(const Value& value);
double to_float(const Value& value);

}  // namespace assay::jinja
