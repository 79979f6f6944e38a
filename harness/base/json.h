// JSON with errors that say where: file, line, column, key. nlohmann/json underneath.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace assay {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses one document. Nesting over 256 levels is refused, so that no input can exhaust the stack.
// `place` names it in errors (a path, or "path:line").
Result<Json> parse_json(std::string_view text, const std::string& place);
Result<Json> read_json_file(const std::string& path);

// Reads the members of one object, each once, and finds the ones that nobody asked for.
class JsonReader {
 public:
  // `object` must outlive the reader; `place` is "file" or "file: key".
  JsonReader(const Json& object, std::string place) : object_(object), place_(std::move(place)) {}

  Status must_be_object() const;
  bool has(const std::string& key) const { return object_.contains(key); }

  Result<std::string> text(const std::string& key);
  Result<std::string> text_or(const std::string& key, std::string fallback);
  Result<double> number(const std::string& key);
  Result<double> number_or(const std::string& key, double fallback);
  Result<int64_t> integer(const std::string& key);
  Result<int64_t> integer_or(const std::string& key, int64_t fallback);
  Result<bool> boolean_or(const std::string& key, bool fallback);
  // The member as it is; null if absent.
  const Json& any(const std::string& key);

  // Error that names the first key which was never asked for.
  Status no_other_keys() const;
  Error wrong(const std::string& key, const std::string& expected) const;

 private:
  Result<const Json*> required(const std::string& key);

  const Json& object_;
  std::string place_;
  std::set<std::string> asked_;
};

// Dumps as one line; invalid UTF-8 is replaced, never thrown at.
std::string dump_json(const Json& value, int indent = -1);
std::string dump_json(const OrderedJson& value, int indent = -1);

}  // namespace assay
