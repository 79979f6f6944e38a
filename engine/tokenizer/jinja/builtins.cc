#include "engine/tokenizer/jinja/builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "harness/base/text.h"

namespace assay::jinja {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

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

List split_text(const std::string& text, const Arguments& arguments) {
  List parts;
  const std::string separator = text_argument(arguments, 0, "sep", "");
  const Value* limit = argument(arguments, 1, "maxsplit");
  int64_t left = limit != nullptr && limit->as_int() != nullptr ? *limit->as_int() : -1;
  if (separator.empty()) {  // on runs of white space
    size_t at = 0;
    while ((at = text.find_first_not_of(kSpace, at)) != std::string::npos) {
      const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
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

Value field(const Value& value, const std::string& path) {
  Value current = value;
  for (const std::string& name : split(path, '.')) current = current.get(name);
  return current;
}

int64_t length_of(const Value& value) {
  if (const std::string* text = value.as_string())
    return static_cast<int64_t>(characters(*text).size());
  if (const List* list = value.as_list()) return static_cast<int64_t>(list->size());
  if (const Dict* dict = value.as_dict()) return static_cast<int64_t>(dict->size());
  if (value.is_undefined()) return 0;
  throw TemplateError{"this value has no length"};
}

std::string join_filter(const Value& value, const Arguments& arguments) {
  const std::string separator = text_argument(arguments, 0, "d", "");
  const std::string attribute = text_argument(arguments, 1, "attribute", "");
  std::string out;
  bool first = true;
  for (const Value& item : elements(value)) {
    if (!first) out += separator;
    first = false;
    out += (attribute.empty() ? item : field(item, attribute)).to_string();
  }
  return out;
}

Value map_filter(const Value& value, Arguments& arguments) {
  List out;
  const std::string attribute = text_argument(arguments, SIZE_MAX, "attribute", "");
  if (attribute.empty() && arguments.positional.empty()) throw TemplateError{"map needs a filter"};
  for (const Value& item : elements(value)) {
    if (!attribute.empty()) {
      out.push_back(field(item, attribute));
    } else {
      Arguments rest;
      rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
      out.push_back(apply_filter(arguments.positional[0].to_string(), item, rest));
    }
  }
  return out;
}

// select, reject (`on_field` false), selectattr, rejectattr
Value select_filter(const Value& value, const Arguments& arguments, bool on_field, bool keep) {
  List out;
  const size_t skip = on_field ? 1 : 0;
  if (arguments.positional.size() < skip) throw TemplateError{"selectattr needs an attribute"};
  for (const Value& item : elements(value)) {
    const Value subject = on_field ? field(item, arguments.positional[0].to_string()) : item;
    bool passed = subject.truthy();
    if (arguments.positional.size() > skip) {
      Arguments rest;
      rest.positional.assign(arguments.positional.begin() + skip + 1, arguments.positional.end());
      passed = apply_test(arguments.positional[skip].to_string(), subject, rest);
    }
    if (passed == keep) out.push_back(item);
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

Value replace_filter(const Value& value, const Arguments& arguments) {
  const std::string text = value.to_string();
  const std::string from = text_argument(arguments, 0, "old", "");
  const std::string to = text_argument(arguments, 1, "new", "");
  if (from.empty()) return text;
  constexpr size_t kMaxBytes = 64u << 20;
  if (to.size() > from.size() && text.size() / from.size() > kMaxBytes / to.size()) {
    throw TemplateError{"replace: the result is too long; refused"};
  }
  return replace_all(text, from, to);
}

Value items_of(const Value& value) {
  List out;
  if (const Dict* dict = value.as_dict()) {
    for (const auto& [key, item] : *dict) out.emplace_back(List{Value(key), item});
  } else if (!value.is_undefined()) {
    throw TemplateError{"items needs a dict"};
  }
  return out;
}

Function string_method(const std::string& text, const std::string& name) {
  using A = Arguments&;
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return [text, name](A a) -> Value {
      const std::string set = text_argument(a, 0, "chars", std::string(kSpace));
      return strip(text, set, name != "rstrip", name != "lstrip");
    };
  }
  if (name == "split") return [text](A a) -> Value { return split_text(text, a); };
  if (name == "upper") return [text](A) -> Value { return upper(text); };
  if (name == "lower") return [text](A) -> Value { return to_lower_ascii(text); };
  if (name == "title") return [text](A) -> Value { return title(text); };
  if (name == "capitalize") return [text](A) -> Value { return capitalize(text); };
  if (name == "replace") return [text](A a) -> Value { return replace_filter(text, a); };
  if (name == "startswith" || name == "endswith") {
    return [text, name](A a) -> Value {
      const std::string part = text_argument(a, 0, "prefix", "");
      return name == "startswith" ? text.starts_with(part) : text.ends_with(part);
    };
  }
  if (name == "find") {
    return [text](A a) -> Value {
      const size_t at = text.find(text_argument(a, 0, "sub", ""));
      if (at == std::string::npos) return int64_t{-1};
      return static_cast<int64_t>(characters(text.substr(0, at)).size());
    };
  }
  if (name == "join") {
    return [text](A a) -> Value {
      if (a.positional.empty()) throw TemplateError{"join needs a list"};
      Arguments separator;
      separator.positional = {Value(text)};
      return join_filter(a.positional[0], separator);
    };
  }
  return nullptr;
}

Function dict_method(const Value& dict, const std::string& name) {
  using A = Arguments&;
  if (name == "items") return [dict](A) -> Value { return items_of(dict); };
  if (name == "keys" || name == "values") {
    return [dict, keys = name == "keys"](A) -> Value {
      List out;
      for (const auto& [key, value] : *dict.as_dict()) out.push_back(keys ? Value(key) : value);
      return out;
    };
  }
  if (name == "get") {
    return [dict](A a) -> Value {
      if (a.positional.empty()) throw TemplateError{"get needs a key"};
      Value found = dict.get(a.positional[0].to_string());
      if (!found.is_undefined()) return found;
      return a.positional.size() > 1 ? a.positional[1] : Value(None{});
    };
  }
  return nullptr;
}

}  // namespace

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
  if (depth > 100) throw TemplateError{"tojson: nested too deeply"};
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

Value apply_filter(const std::string& name, const Value& value, Arguments& arguments) {
  using Filter = Value (*)(const Value&, Arguments&);
  static const std::map<std::string, Filter> kFilters = {
      {"trim",
       [](const Value& v, Arguments& a) -> Value {
         return strip(v.to_string(), text_argument(a, 0, "chars", std::string(kSpace)), true, true);
       }},
      {"upper", [](const Value& v, Arguments&) -> Value { return upper(v.to_string()); }},
      {"lower", [](const Value& v, Arguments&) -> Value { return to_lower_ascii(v.to_string()); }},
      {"capitalize", [](const Value& v, Arguments&) -> Value { return capitalize(v.to_string()); }},
      {"title", [](const Value& v, Arguments&) -> Value { return title(v.to_string()); }},
      {"string", [](const Value& v, Arguments&) -> Value { return v.to_string(); }},
      {"safe", [](const Value& v, Arguments&) -> Value { return v; }},
      {"length", [](const Value& v, Arguments&) -> Value { return length_of(v); }},
      {"count", [](const Value& v, Arguments&) -> Value { return length_of(v); }},
      {"int", [](const Value& v, Arguments&) -> Value { return to_int(v); }},
      {"list", [](const Value& v, Arguments&) -> Value { return elements(v); }},
      {"items", [](const Value& v, Arguments&) -> Value { return items_of(v); }},
      {"first",
       [](const Value& v, Arguments&) -> Value {
         const List items = elements(v);
         return items.empty() ? Value() : items.front();
       }},
      {"last",
       [](const Value& v, Arguments&) -> Value {
         const List items = elements(v);
         return items.empty() ? Value() : items.back();
       }},
      {"reverse",
       [](const Value& v, Arguments&) -> Value {
         List items = elements(v);
         std::reverse(items.begin(), items.end());
         return items;
       }},
      {"join", [](const Value& v, Arguments& a) -> Value { return join_filter(v, a); }},
      {"replace", [](const Value& v, Arguments& a) -> Value { return replace_filter(v, a); }},
      {"map", [](const Value& v, Arguments& a) -> Value { return map_filter(v, a); }},
      {"select",
       [](const Value& v, Arguments& a) -> Value { return select_filter(v, a, false, true); }},
      {"reject",
       [](const Value& v, Arguments& a) -> Value { return select_filter(v, a, false, false); }},
      {"selectattr",
       [](const Value& v, Arguments& a) -> Value { return select_filter(v, a, true, true); }},
      {"rejectattr",
       [](const Value& v, Arguments& a) -> Value { return select_filter(v, a, true, false); }},
      {"default",
       [](const Value& v, Arguments& a) -> Value {
         const Value* fallback = argument(a, 0, "default_value");
         const Value* falsy = argument(a, 1, "boolean");
         const bool use = v.is_undefined() || (falsy != nullptr && falsy->truthy() && !v.truthy());
         return use ? (fallback == nullptr ? Value("") : *fallback) : v;
       }},
      {"tojson",
       [](const Value& v, Arguments& a) -> Value {
         const Value* indent = argument(a, SIZE_MAX, "indent");
         if (indent == nullptr) indent = argument(a, 0, "indent");
         const bool given = indent != nullptr && indent->as_int() != nullptr;
         return to_json(
             v, given ? static_cast<int>(std::clamp<int64_t>(*indent->as_int(), 0, 16)) : -1);
       }},
  };
  const auto found = kFilters.find(name == "d" ? "default" : name);
  if (found == kFilters.end()) throw TemplateError{"the filter \"" + name + "\" is not supported"};
  return found->second(value, arguments);
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

Value find_method(const Value& value, const std::string& name) {
  Function method;
  if (const std::string* text = value.as_string()) method = string_method(*text, name);
  if (value.as_dict() != nullptr) method = dict_method(value, name);
  if (value.as_list() != nullptr && name == "append") {
    method = [value](Arguments& a) -> Value {
      if (a.positional.size() != 1) throw TemplateError{"append needs one value"};
      value.as_list()->push_back(a.positional[0]);
      return None{};
    };
  }
  return method ? Value(std::move(method)) : Value();
}

}  // namespace assay::jinja
