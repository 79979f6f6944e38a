// Tokens of a template. Internal to the parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay::jinja {

struct Token {
  enum class Kind {
    kText,        // outside of tags
    kPrintBegin,  // {{
    kPrintEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;
  int line;
};

// White space around tags is already taken away as trim_blocks, lstrip_blocks and the - and + marks
// ask; comments are gone. Throws TemplateError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace assay::jinja
