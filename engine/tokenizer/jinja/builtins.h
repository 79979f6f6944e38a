// Filters, tests and methods of the template language. All throw TemplateError.
#pragma once

#include <string>

#include "engine/tokenizer/jinja/value.h"

namespace assay::jinja {

// `value | name(arguments)`
Value apply_filter(const std::string& name, const Value& value, Arguments& arguments);
// `value is name(arguments)`
bool apply_test(const std::string& name, const Value& value, Arguments& arguments);
// `value.name` for what is no field: a method bound to the value; Undefined if there is none.
Value find_method(const Value& value, const std::string& name);
// `value in container`
bool contains(const Value& container, const Value& value);
// The elements that a for loop over `value` visits.
List elements(const Value& value);
// As Python's json.dumps(ensure_ascii=False): the form that transformers gives `tojson`.
std::string to_json(const Value& value, int indent, int depth = 0);
// Characters of a string, one code point each.
List characters(const std::string& text);

}  // namespace assay::jinja
