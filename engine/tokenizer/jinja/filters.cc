// Filters of the template language.
#include <algorithm>
#include <cmath>
#include <map>

#include "engine/tokenizer/jinja/builtins.h"
#include "engine/tokenizer/jinja/text_functions.h"
#include "harness/base/markup.h"
#include "harness/base/text.h"

namespace assay::jinja {
namespace {

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

Value round_filter(const Value& value, const Arguments& arguments) {
  const auto digits = static_cast<double>(
      std::clamp<int64_t>(int_argument(arguments, 0, "precision", 0), -300, 300));
  const std::string method = text_argument(arguments, 1, "method", "common");
  const double scale = std::pow(10.0, digits), scaled = to_float(value) * scale;
  if (method == "ceil") return std::ceil(scaled) / scale;
  if (method == "floor") return std::floor(scaled) / scale;
  return std::nearbyint(scaled) / scale;  // half to even, as Python's round()
}

Value sum_filter(const Value& value, const Arguments& arguments) {
  const std::string attribute = text_argument(arguments, 0, "attribute", "");
  int64_t whole = 0;
  double real = 0;
  bool any_real = false;
  for (const Value& item : elements(value)) {
    const Value number = attribute.empty() ? item : field(item, attribute);
    any_real = any_real || number.as_float() != nullptr;
    real += to_float(number);
    whole =
        static_cast<int64_t>(static_cast<uint64_t>(whole) + static_cast<uint64_t>(to_int(number)));
  }
  return any_real ? Value(real) : Value(whole);
}

// Numbers before texts; texts without regard to case, as the filters that sort compare them.
bool sorts_before(const Value& a, const Value& b) {
  const std::string *left = a.as_string(), *right = b.as_string();
  if ((left == nullptr) != (right == nullptr)) {
    throw TemplateError{"cannot compare a text with another value"};
  }
  if (left == nullptr) return to_float(a) < to_float(b);
  return to_lower_ascii(*left) < to_lower_ascii(*right);
}

Value extreme(const Value& value, bool least) {
  const List items = elements(value);
  if (items.empty()) return Value();
  Value best = items[0];
  for (const Value& item : items) {
    if (least ? sorts_before(item, best) : sorts_before(best, item)) best = item;
  }
  return best;
}

Value sort_filter(const Value& value, const Arguments& arguments) {
  List items = elements(value);
  const Value* reverse = argument(arguments, 0, "reverse");
  const std::string attribute = text_argument(arguments, 2, "attribute", "");
  const auto key = [&](const Value& item) {
    return attribute.empty() ? item : field(item, attribute);
  };
  const bool down = reverse != nullptr && reverse->truthy();
  std::stable_sort(items.begin(), items.end(), [&](const Value& a, const Value& b) {
    return down ? sorts_before(key(b), key(a)) : sorts_before(key(a), key(b));
  });
  return items;
}

Value unique_filter(const Value& value) {
  List out;
  const auto same = [](const Value& a, const Value& b) {
    if (a.as_string() == nullptr || b.as_string() == nullptr) return a.equals(b);
    return to_lower_ascii(*a.as_string()) == to_lower_ascii(*b.as_string());
  };
  for (const Value& item : elements(value)) {
    if (std::none_of(out.begin(), out.end(), [&](const Value& kept) { return same(kept, item); })) {
      out.push_back(item);
    }
  }
  return out;
}

Value dictsort_filter(const Value& value) {
  if (value.as_dict() == nullptr) throw TemplateError{"dictsort needs a dict"};
  List items = items_of(value);
  std::stable_sort(items.begin(), items.end(), [](const Value& a, const Value& b) {
    return sorts_before((*a.as_list())[0], (*b.as_list())[0]);
  });
  return items;
}

std::string indent_filter(const Value& value, const Arguments& arguments) {
  const Value* width = argument(arguments, 0, "width");
  const Value *first = argument(arguments, 1, "first"), *blank = argument(arguments, 2, "blank");
  std::string pad(4, ' ');
  if (width != nullptr && width->as_string() != nullptr) {
    pad = *width->as_string();
  } else {
    pad = std::string(
        static_cast<size_t>(std::clamp<int64_t>(int_argument(arguments, 0, "width", 4), 0, 1000)),
        ' ');
  }
  std::string out;
  bool at_first = true;
  for (const std::string& line : split(value.to_string(), '\n')) {
    if (!at_first) out += '\n';
    const bool wanted = at_first ? first != nullptr && first->truthy()
                                 : !line.empty() || (blank != nullptr && blank->truthy());
    out += (wanted ? pad : "") + line;
    at_first = false;
  }
  return out;
}

}  // namespace

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
      {"float", [](const Value& v, Arguments&) -> Value { return to_float(v); }},
      {"abs",
       [](const Value& v, Arguments&) -> Value {
         if (v.as_float() != nullptr) return std::abs(*v.as_float());
         return to_int(v) < 0 ? int64_t(0 - static_cast<uint64_t>(to_int(v))) : to_int(v);
       }},
      {"round", [](const Value& v, Arguments& a) -> Value { return round_filter(v, a); }},
      {"sum", [](const Value& v, Arguments& a) -> Value { return sum_filter(v, a); }},
      {"min", [](const Value& v, Arguments&) -> Value { return extreme(v, true); }},
      {"max", [](const Value& v, Arguments&) -> Value { return extreme(v, false); }},
      {"sort", [](const Value& v, Arguments& a) -> Value { return sort_filter(v, a); }},
      {"unique", [](const Value& v, Arguments&) -> Value { return unique_filter(v); }},
      {"dictsort", [](const Value& v, Arguments&) -> Value { return dictsort_filter(v); }},
      {"indent", [](const Value& v, Arguments& a) -> Value { return indent_filter(v, a); }},
      {"escape", [](const Value& v, Arguments&) -> Value { return escape_markup(v.to_string()); }},
      {"e", [](const Value& v, Arguments&) -> Value { return escape_markup(v.to_string()); }},
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
      {"replace",
       [](const Value& v, Arguments& a) -> Value { return replace_text(v.to_string(), a); }},
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

}  // namespace assay::jinja
