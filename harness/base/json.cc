#include "harness/base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/base/file.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kMaxDepth = 256;

// Depth of nesting outside strings; cheap enough to run before each parse.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > kMaxDepth) return true;
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& place) {
  if (too_deep(text)) {
    return Error{fmt::format("{}: JSON nested over {} levels; refused", place, kMaxDepth)};
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& error) {
    const std::string_view before = text.substr(0, std::min(text.size(), error.byte));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_start =
        before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    std::string what = error.what();
    const size_t reason = what.rfind(": ");
    if (reason != std::string::npos) what = what.substr(reason + 2);
    return Error{fmt::format("{}: not valid JSON at line {}, column {}: {}", place, line,
                             before.size() - line_start, to_valid_utf8(what))};
  } catch (const Json::exception& error) {
    return Error{fmt::format("{}: not valid JSON: {}", place, to_valid_utf8(error.what()))};
  }
}

Result<Json> read_json_file(const std::string& path) {
  ASSAY_TRY(const MappedFile file, MappedFile::open(path));
  return parse_json(file.bytes(), path);
}

Error JsonReader::wrong(const std::string& key, const std::string& expected) const {
  return Error{fmt::format("{}: key \"{}\" must be {}", place_, key, expected)};
}

Status JsonReader::must_be_object() const {
  if (!object_.is_object()) return Error{place_ + ": must be a JSON object"};
  return {};
}

Result<const Json*> JsonReader::required(const std::string& key) {
  asked_.insert(key);
  const auto found = object_.find(key);
  if (found == object_.end()) return Error{fmt::format("{}: key \"{}\" is missing", place_, key)};
  return &*found;
}

Result<std::string> JsonReader::text(const std::string& key) {
  ASSAY_TRY(const Json* value, required(key));
  if (!value->is_string()) return wrong(key, "a string");
  return value->get<std::string>();
}

Result<std::string> JsonReader::text_or(const std::string& key, std::string fallback) {
  asked_.insert(key);
  if (!has(key)) return fallback;
  return text(key);
}

Result<double> JsonReader::number(const std::string& key) {
  ASSAY_TRY(const Json* value, required(key));
  if (!value->is_number()) return wrong(key, "a number");
  return value->get<double>();
}

Result<double> JsonReader::number_or(const std::string& key, double fallback) {
  asked_.insert(key);
  if (!has(key)) return fallback;
  return number(key);
}

Result<int64_t> JsonReader::integer(const std::string& key) {
  ASSAY_TRY(const Json* value, required(key));
  if (!value->is_number_integer()) return wrong(key, "a whole number");
  return value->get<int64_t>();
}

Result<int64_t> JsonReader::integer_or(const std::string& key, int64_t fallback) {
  asked_.insert(key);
  if (!has(key)) return fallback;
  return integer(key);
}

Result<bool> JsonReader::boolean_or(const std::string& key, bool fallback) {
  asked_.insert(key);
  const auto found = object_.find(key);
  if (found == object_.end()) return fallback;
  if (!found->is_boolean()) return wrong(key, "true or false");
  return found->get<bool>();
}

const Json& JsonReader::any(const std::string& key) {
  static const Json kNull;
  asked_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() ? kNull : *found;
}

Status JsonReader::no_other_keys() const {
  for (const auto& [key, value] : object_.items()) {
    if (asked_.contains(key)) continue;
    const std::string guess = nearest(key, {asked_.begin(), asked_.end()});
    return Error{fmt::format("{}: unknown key \"{}\"{}", place_, key,
                             guess.empty() ? "" : fmt::format("; did you mean \"{}\"?", guess))};
  }
  return {};
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string dump_json(const OrderedJson& value, int indent) {
  return value.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace assay
