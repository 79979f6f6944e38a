// Methods of strings, dicts and lists.
#include <algorithm>

#include "engine/tokenizer/jinja/builtins.h"
#include "engine/tokenizer/jinja/text_functions.h"
#include "harness/base/text.h"

namespace assay::jinja {
namespace {

List lines_of(const std::string& text) {
  List lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return lines;
}

// Python's str.isdigit() and so on, of ASCII.
bool all_are(const std::string& text, const std::string& name) {
  bool some = false;
  for (const char c : text) {
    const bool is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z';
    if (name == "isdigit" || name == "isspace") {
      const bool fits =
          name == "isdigit" ? c >= '0' && c <= '9' : kSpace.find(c) != std::string_view::npos;
      if (!fits) return false;
      some = true;
      continue;
    }
    if (name == "isupper" ? is_lower : is_upper) return false;
    some = some || is_upper || is_lower;
  }
  return some;
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
  if (name == "replace") return [text](A a) -> Value { return replace_text(text, a); };
  if (name == "rsplit") return [text](A a) -> Value { return rsplit_text(text, a); };
  if (name == "splitlines") return [text](A) -> Value { return lines_of(text); };
  if (name == "count") {
    return [text](A a) -> Value {
      const std::string part = text_argument(a, 0, "sub", "");
      if (part.empty()) return static_cast<int64_t>(characters(text).size() + 1);
      int64_t found = 0;
      for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
        ++found;
      }
      return found;
    };
  }
  if (name == "removeprefix" || name == "removesuffix") {
    return [text, name](A a) -> Value {
      const std::string part = text_argument(a, 0, "prefix", "");
      if (name == "removeprefix") {
        return text.starts_with(part) ? text.substr(part.size()) : text;
      }
      return text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text;
    };
  }
  if (name == "isdigit" || name == "isspace" || name == "isupper" || name == "islower") {
    return [text, name](A) -> Value { return all_are(text, name); };
  }
  if (name == "startswith" || name == "endswith") {
    return [text, name](A a) -> Value {
      const auto matches = [&](const Value& part) {
        if (part.as_string() == nullptr) throw TemplateError{name + " needs a string"};
        return name == "startswith" ? text.starts_with(*part.as_string())
                                    : text.ends_with(*part.as_string());
      };
      if (a.positional.empty()) throw TemplateError{name + " needs a string"};
      const List* several = a.positional[0].as_list();
      if (several == nullptr) return matches(a.positional[0]);
      return std::any_of(several->begin(), several->end(), matches);
    };
  }
  if (name == "find" || name == "index") {
    return [text, name](A a) -> Value {
      const size_t at = text.find(text_argument(a, 0, "sub", ""));
      if (at == std::string::npos && name == "index") throw TemplateError{"substring not found"};
      if (at == std::string::npos) return int64_t{-1};
      return static_cast<int64_t>(characters(text.substr(0, at)).size());
    };
  }
  if (name == "join") {
    return [text](A a) -> Value {
      if (a.positional.empty()) throw TemplateError{"join needs a list"};
      Arguments separator;
      separator.positional = {Value(text)};
      return apply_filter("join", a.positional[0], separator);
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
