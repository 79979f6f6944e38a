#include "engine/tokenizer/jinja/value.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

namespace assay::jinja {
namespace {

std::string float_text(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  const bool single = text.find('\'') == std::string::npos || text.find('"') != std::string::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      if (c == quote || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + quote;
}

void check_depth(int depth) {
  if (depth > Value::kMaxDepth) throw TemplateError{"a value is nested too deeply"};
}

thread_local ValueHeap* current_heap = nullptr;

}  // namespace

ValueHeap::ValueHeap() : outer_(std::exchange(current_heap, this)) {}

ValueHeap::~ValueHeap() {
  current_heap = outer_;
  for (const Value& value : values_) {  // each is held by values_ while the others are emptied
    if (List* list = value.as_list()) List().swap(*list);
    if (Dict* dict = value.as_dict()) Dict().swap(*dict);
  }
}

Value::Value(List value) : data_(std::make_shared<List>(std::move(value))) {
  if (current_heap != nullptr) current_heap->values_.push_back(*this);
}

Value::Value(Dict value) : data_(std::make_shared<Dict>(std::move(value))) {
  if (current_heap != nullptr) current_heap->values_.push_back(*this);
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (const bool* value = as_bool()) return *value;
  if (const int64_t* value = as_int()) return *value != 0;
  if (const double* value = as_float()) return *value != 0;
  if (const std::string* value = as_string()) return !value->empty();
  if (const List* value = as_list()) return !value->empty();
  if (const Dict* value = as_dict()) return !value->empty();
  return true;
}

std::string Value::to_string() const {
  if (is_undefined()) return "";
  if (const std::string* value = as_string()) return *value;
  return to_repr();
}

std::string Value::to_repr(int depth) const {
  check_depth(depth);
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (const bool* value = as_bool()) return *value ? "True" : "False";
  if (const int64_t* value = as_int()) return std::to_string(*value);
  if (const double* value = as_float()) return float_text(*value);
  if (const std::string* value = as_string()) return quoted(*value);
  std::string out;
  if (const List* list = as_list()) {
    for (const Value& item : *list) out += (out.empty() ? "" : ", ") + item.to_repr(depth + 1);
    return "[" + out + "]";
  }
  if (const Dict* dict = as_dict()) {
    for (const auto& [key, item] : *dict) {
      out += (out.empty() ? "" : ", ") + quoted(key) + ": " + item.to_repr(depth + 1);
    }
    return "{" + out + "}";
  }
  return "<function>";
}

Value Value::get(const std::string& key) const {
  if (const Dict* dict = as_dict()) {
    for (const auto& [name, value] : *dict) {
      if (name == key) return value;
    }
  }
  return {};
}

void Value::set(const std::string& key, Value value) const {
  Dict* dict = as_dict();
  if (dict == nullptr)
    throw TemplateError{"cannot set \"" + key + "\" on something without fields"};
  for (auto& [name, current] : *dict) {
    if (name == key) {
      current = std::move(value);
      return;
    }
  }
  dict->emplace_back(key, std::move(value));
}

bool Value::equals(const Value& other, int depth) const {
  check_depth(depth);
  const auto number = [](const Value& value) -> std::optional<double> {
    if (const bool* flag = value.as_bool()) return *flag ? 1 : 0;
    if (const int64_t* whole = value.as_int()) return static_cast<double>(*whole);
    if (const double* real = value.as_float()) return *real;
    return std::nullopt;
  };
  const auto a = number(*this), b = number(other);
  if (a && b) return *a == *b;
  if (data_.index() != other.data_.index()) return false;
  if (const std::string* text = as_string()) return *text == *other.as_string();
  if (const List* list = as_list()) {
    const List* right = other.as_list();
    if (list->size() != right->size()) return false;
    for (size_t i = 0; i < list->size(); ++i) {
      if (!(*list)[i].equals((*right)[i], depth + 1)) return false;
    }
    return true;
  }
  if (const Dict* dict = as_dict()) {
    if (dict->size() != other.as_dict()->size()) return false;
    for (const auto& [key, value] : *dict) {
      if (!value.equals(other.get(key), depth + 1)) return false;
    }
    return true;
  }
  return is_none() || is_undefined() || as_function() == other.as_function();
}

}  // namespace assay::jinja
