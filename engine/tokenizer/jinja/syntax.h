// Lexer and parser of the template language: text to syntax tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/jinja/value.h"

namespace assay::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    kLiteral,      // value
    kName,         // text
    kList,         // operands
    kDict,         // operands: key, value, key, value, …
    kUnary,        // text: "not", "-", "+"; operands[0]
    kBinary,       // text: the operator; operands[0], operands[1]
    kConditional,  // operands: value, condition, otherwise (may be null)
    kAttribute,    // operands[0] . text
    kIndex,        // operands[0] [ operands[1] ]
    kSlice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], each may be null
    kCall,         // operands[0] ( operands[1…] , named )
    kFilter,       // operands[0] | text ( operands[1…] , named )
    kTest,         // operands[0] is text ( operands[1…] )
  };
  Kind kind = Kind::kLiteral;
  std::string text;
  Value value;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  int line = 0;
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind { kText, kPrint, kFor, kIf, kSet, kSetBlock, kMacro, kBreak, kContinue };
  Kind kind = Kind::kText;
  std::string text;                     // kText; name of a macro
  std::vector<std::string> names;       // loop or set targets; parameters of a macro
  ExpressionPtr expression;             // printed, iterated, tested or assigned
  ExpressionPtr condition;              // the "if" of a for loop
  std::vector<ExpressionPtr> defaults;  // of a macro's parameters, null without
  std::string attribute;                // `set ns.attribute = …`
  Block body, otherwise;
  int line = 0;
};

// Parses a template with trim_blocks and lstrip_blocks, as transformers renders chat templates.
// Throws TemplateError with the line.
Block parse(std::string_view source);

}  // namespace assay::jinja
