#include "engine/tokenizer/jinja/builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/tokenizer/jinja/text_functions.h"
#include "harness/base/text.h"

namespace assay::jinja {

List characters(const std::string& text) {
  List out;
  for (size_t at = 0; at < text.size();) {
    size_t length = 1;
    while (at + length < text.size() && (static_cast<uint8_t>(text[at + length]) & 0xC0) == 0x80) {
      ++length;
    }
    out.emplace_back(text.substr(at, length));
    at += length;
  }
  return out;
}

List elements(const Value& value) {
  if (const List* list = value.as_list()) return *list;
  if (const std::string* text = value.as_string()) return characters(*text);
  List out;
  if (const Dict* dict = value.as_dict()) {
    for (const auto& [key, item] : *dict) out.emplace_back(key);
    return out;
  }
  if (value.is_undefined()) return out;
  throw TemplateError{"cannot iterate over " + value.to_repr()};
}

bool contains(const Value& container, const Value& value) {
  if (const std::string* text = container.as_string()) {
    if (value.as_string() == nullptr) throw TemplateError{"only a string can be in a string"};
    return text->find(*value.as_string()) != std::string::npos;
  }
  if (container.as_dict() != nullptr) {
    return value.as_string() != nullptr && !container.get(*value.as_string()).is_undefined();
  }
  const List items = elements(container);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& item) { return item.equals(value); });
}

std::string to_json(const Value& value, int indent, int depth) {
  if (depth > Value::kMaxDepth) throw TemplateError{"tojson: nested too deeply"};
  if (const std::string* text = value.as_string()) {
    std::string out = "\"";
    for (const char c : *text) {
      switch (c) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\b':
          out += "\\b";
          break;
        case '\f':
          out += "\\f";
          break;
        default:
          if (static_cast<uint8_t>(c) < 0x20) {
            out += fmt::format("\\u{:04x}", static_cast<uint8_t>(c));
          } else {
            out += c;
          }
      }
    }
    return out + "\"";
  }
  const std::string pad =
      indent < 0 ? "" : "\n" + std::string(static_cast<size_t>(indent) * (depth + 1), ' ');
  const std::string last =
      indent < 0 ? "" : "\n" + std::string(static_cast<size_t>(indent) * depth, ' ');
  const std::string comma = indent < 0 ? ", " : ",";
  std::string out;
  if (const List* list = value.as_list()) {
    if (list->empty()) return "[]";
    for (const Value& item : *list) {
      out += (out.empty() ? "" : comma) + pad + to_json(item, indent, depth + 1);
    }
    return "[" + out + last + "]";
  }
  if (const Dict* dict = value.as_dict()) {
    if (dict->empty()) return "{}";
    for (const auto& [key, item] : *dict) {
      out += (out.empty() ? "" : comma) + pad + to_json(key, indent) + ": " +
             to_json(item, indent, depth + 1);
    }
    return "{" + out + last + "}";
  }
  if (const bool* flag = value.as_bool()) return *flag ? "true" : "false";
  if (value.is_none()) return "null";
  if (value.is_undefined() || value.as_function() != nullptr) {
    throw TemplateError{"tojson: this value has no JSON form"};
  }
  return value.to_repr();
}

bool apply_test(const std::string& name, const Value& value, Arguments& arguments) {
  using Test = bool (*)(const Value&, const Value&);
  static const std::map<std::string, Test> kTests = {
      {"defined", [](const Value& v, const Value&) { return !v.is_undefined(); }},
      {"undefined", [](const Value& v, const Value&) { return v.is_undefined(); }},
      {"none", [](const Value& v, const Value&) { return v.is_none(); }},
      {"string", [](const Value& v, const Value&) { return v.as_string() != nullptr; }},
      {"boolean", [](const Value& v, const Value&) { return v.as_bool() != nullptr; }},
      {"integer", [](const Value& v, const Value&) { return v.as_int() != nullptr; }},
      {"float", [](const Value& v, const Value&) { return v.as_float() != nullptr; }},
      {"number",
       [](const Value& v, const Value&) {
         return v.as_int() != nullptr || v.as_float() != nullptr || v.as_bool() != nullptr;
       }},
      {"mapping", [](const Value& v, const Value&) { return v.as_dict() != nullptr; }},
      {"sequence",
       [](const Value& v, const Value&) {
         return v.as_list() != nullptr || v.as_string() != nullptr || v.as_dict() != nullptr;
       }},
      {"iterable",
       [](const Value& v, const Value&) {
         return v.as_list() != nullptr || v.as_string() != nullptr || v.as_dict() != nullptr;
       }},
      {"callable", [](const Value& v, const Value&) { return v.as_function() != nullptr; }},
      {"true", [](const Value& v, const Value&) { return v.as_bool() != nullptr && *v.as_bool(); }},
      {"false",
       [](const Value& v, const Value&) { return v.as_bool() != nullptr && !*v.as_bool(); }},
      {"equalto", [](const Value& v, const Value& a) { return v.equals(a); }},
      {"ne", [](const Value& v, const Value& a) { return !v.equals(a); }},
      {"in", [](const Value& v, const Value& a) { return contains(a, v); }},
      {"lt", [](const Value& v, const Value& a) { return to_float(v) < to_float(a); }},
      {"gt", [](const Value& v, const Value& a) { return to_float(v) > to_float(a); }},
      {"le", [](const Value& v, const Value& a) { return to_float(v) <= to_float(a); }},
      {"ge", [](const Value& v, const Value& a) { return to_float(v) >= to_float(a); }},
      {"lower",
       [](const Value& v, const Value&) {
         return v.as_string() != nullptr && to_lower_ascii(*v.as_string()) == *v.as_string() &&
                upper(*v.as_string()) != *v.as_string();
       }},
      {"upper",
       [](const Value& v, const Value&) {
         return v.as_string() != nullptr && upper(*v.as_string()) == *v.as_string() &&
                to_lower_ascii(*v.as_string()) != *v.as_string();
       }},
      {"odd", [](const Value& v, const Value&) { return to_int(v) % 2 != 0; }},
      {"even", [](const Value& v, const Value&) { return to_int(v) % 2 == 0; }},
      {"divisibleby",
       [](const Value& v, const Value& a) {
         const int64_t divisor = to_int(a);
         if (divisor == 0) throw TemplateError{"divisibleby: division by zero"};
         return divisor == -1 || to_int(v) % divisor == 0;
       }},
  };
  const auto found = kTests.find(name == "eq" || name == "==" ? "equalto" : name);
  if (found == kTests.end()) throw TemplateError{"the test \"" + name + "\" is not supported"};
  return found->second(value, arguments.positional.empty() ? Value() : arguments.positional[0]);
}

}  // namespace assay::jinja
