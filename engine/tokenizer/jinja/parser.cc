#include <fmt/format.h>

#include <cstdlib>

#include "engine/tokenizer/jinja/lexer.h"
#include "engine/tokenizer/jinja/syntax.h"

namespace assay::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of nested expressions and blocks; bounds the parser's stack

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block parse_all() {
    Block block = parse_block({});
    if (peek().kind != Token::Kind::kEnd) fail("a tag closes nothing");
    return block;
  }

 private:
  using Kind = Expression::Kind;

  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.fail("nested too deeply");
    }
    ~Depth() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw TemplateError{fmt::format("line {}: {}", peek().line, what)};
  }

  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
  bool is_operator(std::string_view text) const {
    return peek().kind == Token::Kind::kOperator && peek().text == text;
  }
  bool is_name(std::string_view text) const {
    return peek().kind == Token::Kind::kName && peek().text == text;
  }
  bool accept_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    ++at_;
    return true;
  }
  bool accept_name(std::string_view text) {
    if (!is_name(text)) return false;
    ++at_;
    return true;
  }
  void expect_operator(std::string_view text) {
    if (!accept_operator(text)) fail(fmt::format("expected \"{}\"", text));
  }
  std::string expect_identifier() {
    if (peek().kind != Token::Kind::kName) fail("expected a name");
    return take().text;
  }
  void end_tag() {
    if (peek().kind != Token::Kind::kBlockEnd) fail("expected %}");
    ++at_;
  }

  // Statements up to a block tag whose first word is one of `ends`; that tag's word stays next.
  Block parse_block(const std::vector<std::string_view>& ends) {
    const Depth depth(*this);
    Block block;
    while (true) {
      const Token& token = peek();
      if (token.kind == Token::Kind::kEnd) {
        if (!ends.empty()) fail(fmt::format("expected {{% {} %}}", ends.back()));
        return block;
      }
      Statement statement;
      statement.line = token.line;
      if (token.kind == Token::Kind::kText) {
        statement.text = take().text;
      } else if (token.kind == Token::Kind::kPrintBegin) {
        ++at_;
        statement.kind = Statement::Kind::kPrint;
        statement.expression = parse_expression();
        if (peek().kind != Token::Kind::kPrintEnd) fail("expected }}");
        ++at_;
      } else {
        for (const std::string_view end : ends) {
          if (peek(1).kind == Token::Kind::kName && peek(1).text == end) {
            ++at_;
            return block;
          }
        }
        ++at_;
        parse_tag(statement);
      }
      block.push_back(std::move(statement));
    }
  }

  void parse_tag(Statement& statement) {
    const std::string word = expect_identifier();
    if (word == "if") {
      parse_if(statement);
    } else if (word == "for") {
      parse_for(statement);
    } else if (word == "set") {
      parse_set(statement);
    } else if (word == "macro") {
      parse_macro(statement);
    } else if (word == "generation") {  // what training learns from; rendering shows it as it is
      statement.kind = Statement::Kind::kIf;
      statement.expression = make(Kind::kLiteral);
      statement.expression->value = true;
      end_tag();
      statement.body = parse_block({"endgeneration"});
      if (!accept_name("endgeneration")) fail("expected {% endgeneration %}");
      end_tag();
    } else if (word == "break" || word == "continue") {
      statement.kind = word == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
      end_tag();
    } else {
      fail(fmt::format("the tag \"{}\" is not supported here", word));
    }
  }

  void parse_if(Statement& statement) {
    statement.kind = Statement::Kind::kIf;
    statement.expression = parse_expression();
    end_tag();
    statement.body = parse_block({"elif", "else", "endif"});
    if (accept_name("elif")) {
      const Depth depth(*this);
      Statement nested;
      nested.line = peek().line;
      parse_if(nested);  // takes the endif
      statement.otherwise.push_back(std::move(nested));
      return;
    }
    if (accept_name("else")) {
      end_tag();
      statement.otherwise = parse_block({"endif"});
    }
    if (!accept_name("endif")) fail("expected {% endif %}");
    end_tag();
  }

  void parse_for(Statement& statement) {
    statement.kind = Statement::Kind::kFor;
    statement.names = parse_targets();
    if (!accept_name("in")) fail("expected \"in\"");
    statement.expression = parse_or();  // no inline if: the loop's own "if" follows
    if (accept_name("if")) statement.condition = parse_expression();
    end_tag();
    statement.body = parse_block({"else", "endfor"});
    if (accept_name("else")) {
      end_tag();
      statement.otherwise = parse_block({"endfor"});
    }
    if (!accept_name("endfor")) fail("expected {% endfor %}");
    end_tag();
  }

  std::vector<std::string> parse_targets() {
    const bool parenthesis = accept_operator("(");
    std::vector<std::string> names = {expect_identifier()};
    while (accept_operator(",")) names.push_back(expect_identifier());
    if (parenthesis) expect_operator(")");
    return names;
  }

  void parse_set(Statement& statement) {
    statement.kind = Statement::Kind::kSet;
    statement.names = parse_targets();
    if (accept_operator(".")) statement.attribute = expect_identifier();
    if (accept_operator("=")) {
      statement.expression = parse_expression();
      if (is_operator(",")) {  // a bare tuple
        auto tuple = make(Kind::kList);
        tuple->operands.push_back(std::move(statement.expression));
        while (accept_operator(",")) tuple->operands.push_back(parse_expression());
        statement.expression = std::move(tuple);
      }
      end_tag();
      return;
    }
    statement.kind = Statement::Kind::kSetBlock;
    end_tag();
    statement.body = parse_block({"endset"});
    if (!accept_name("endset")) fail("expected {% endset %}");
    end_tag();
  }

  void parse_macro(Statement& statement) {
    statement.kind = Statement::Kind::kMacro;
    statement.text = expect_identifier();
    expect_operator("(");
    while (!accept_operator(")")) {
      statement.names.push_back(expect_identifier());
      statement.defaults.push_back(accept_operator("=") ? parse_expression() : nullptr);
      if (!is_operator(")")) expect_operator(",");
    }
    end_tag();
    statement.body = parse_block({"endmacro"});
    if (!accept_name("endmacro")) fail("expected {% endmacro %}");
    if (peek().kind == Token::Kind::kName) ++at_;
    end_tag();
  }

  ExpressionPtr make(Kind kind, std::string text = "") const {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->text = std::move(text);
    expression->line = peek().line;
    return expression;
  }

  ExpressionPtr binary(std::string text, ExpressionPtr left, ExpressionPtr right) const {
    auto expression = make(Kind::kBinary, std::move(text));
    expression->operands.push_back(std::move(left));
    expression->operands.push_back(std::move(right));
    return expression;
  }

  ExpressionPtr parse_expression() {
    const Depth depth(*this);
    ExpressionPtr value = parse_or();
    while (accept_name("if")) {
      auto conditional = make(Kind::kConditional);
      conditional->operands.push_back(std::move(value));
      conditional->operands.push_back(parse_or());
      conditional->operands.push_back(accept_name("else") ? parse_expression() : nullptr);
      value = std::move(conditional);
    }
    return value;
  }

  ExpressionPtr parse_or() {
    ExpressionPtr left = parse_and();
    while (accept_name("or")) left = binary("or", std::move(left), parse_and());
    return left;
  }

  ExpressionPtr parse_and() {
    ExpressionPtr left = parse_not();
    while (accept_name("and")) left = binary("and", std::move(left), parse_not());
    return left;
  }

  ExpressionPtr parse_not() {
    if (!accept_name("not")) return parse_comparison();
    const Depth depth(*this);
    auto expression = make(Kind::kUnary, "not");
    expression->operands.push_back(parse_not());
    return expression;
  }

  ExpressionPtr parse_comparison() {
    ExpressionPtr left = parse_sum();
    while (true) {
      std::string found;
      for (const char* text : {"==", "!=", "<=", ">=", "<", ">"}) {
        if (found.empty() && is_operator(text)) found = text;
      }
      if (!found.empty()) {
        ++at_;
      } else if (accept_name("in")) {
        found = "in";
      } else if (is_name("not") && peek(1).kind == Token::Kind::kName && peek(1).text == "in") {
        at_ += 2;
        found = "not in";
      } else {
        return left;
      }
      left = binary(found, std::move(left), parse_sum());
    }
  }

  ExpressionPtr parse_sum() {
    ExpressionPtr left = parse_concatenation();
    while (is_operator("+") || is_operator("-")) {
      const std::string text = take().text;
      left = binary(text, std::move(left), parse_concatenation());
    }
    return left;
  }

  ExpressionPtr parse_concatenation() {
    ExpressionPtr left = parse_product();
    while (accept_operator("~")) left = binary("~", std::move(left), parse_product());
    return left;
  }

  ExpressionPtr parse_product() {
    ExpressionPtr left = parse_unary();
    while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
      const std::string text = take().text;
      left = binary(text, std::move(left), parse_unary());
    }
    return left;
  }

  ExpressionPtr parse_unary() {
    if (is_operator("-") || is_operator("+")) {
      const Depth depth(*this);
      auto expression = make(Kind::kUnary, take().text);
      expression->operands.push_back(parse_unary());
      return expression;
    }
    return parse_postfix(parse_primary());
  }

  ExpressionPtr parse_postfix(ExpressionPtr value) {
    while (true) {
      if (accept_operator(".")) {
        auto attribute =
            make(Kind::kAttribute,
                 peek().kind == Token::Kind::kInteger ? take().text : expect_identifier());
        attribute->operands.push_back(std::move(value));
        value = std::move(attribute);
      } else if (accept_operator("[")) {
        value = parse_subscript(std::move(value));
      } else if (accept_operator("(")) {
        auto call = make(Kind::kCall);
        call->operands.push_back(std::move(value));
        parse_arguments(*call);
        value = std::move(call);
      } else if (accept_operator("|")) {
        auto filter = make(Kind::kFilter, expect_identifier());
        filter->operands.push_back(std::move(value));
        if (accept_operator("(")) parse_arguments(*filter);
        value = std::move(filter);
      } else if (accept_name("is")) {
        value = parse_test(std::move(value));
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_test(ExpressionPtr value) {
    const bool negated = accept_name("not");
    auto test = make(Kind::kTest, expect_identifier());
    test->operands.push_back(std::move(value));
    if (accept_operator("(")) {
      parse_arguments(*test);
    } else {
      const Token& next = peek();  // `is divisibleby 3`
      const bool is_name = next.kind == Token::Kind::kName && next.text != "else" &&
                           next.text != "or" && next.text != "and" && next.text != "is" &&
                           next.text != "if" && next.text != "in" && next.text != "not";
      if (is_name || next.kind == Token::Kind::kString || next.kind == Token::Kind::kInteger ||
          is_operator("[") || is_operator("{")) {
        test->operands.push_back(parse_primary());
      }
    }
    if (!negated) return test;
    auto inverse = make(Kind::kUnary, "not");
    inverse->operands.push_back(std::move(test));
    return inverse;
  }

  ExpressionPtr parse_subscript(ExpressionPtr value) {
    auto slice = make(Kind::kSlice);
    slice->operands.push_back(std::move(value));
    int colons = 0;
    ExpressionPtr parts[3];
    while (!accept_operator("]")) {
      if (accept_operator(":")) {
        if (++colons > 2) fail("a slice has too many colons");
      } else {
        if (parts[colons]) fail("expected ]");
        parts[colons] = parse_expression();
      }
    }
    if (colons == 0) {
      if (!parts[0]) fail("expected an index");
      slice->kind = Kind::kIndex;
      slice->operands.push_back(std::move(parts[0]));
      return slice;
    }
    for (auto& part : parts) slice->operands.push_back(std::move(part));
    return slice;
  }

  void parse_arguments(Expression& call) {
    while (!accept_operator(")")) {
      if (peek().kind == Token::Kind::kName && peek(1).kind == Token::Kind::kOperator &&
          peek(1).text == "=") {
        std::string name = take().text;
        ++at_;
        call.named.emplace_back(std::move(name), parse_expression());
      } else {
        call.operands.push_back(parse_expression());
      }
      if (!is_operator(")")) expect_operator(",");
    }
  }

  ExpressionPtr literal(Value value) const {
    auto expression = make(Kind::kLiteral);
    expression->value = std::move(value);
    return expression;
  }

  ExpressionPtr parse_primary() {
    const Token token = take();
    switch (token.kind) {
      case Token::Kind::kString: {
        std::string text = token.text;
        while (peek().kind == Token::Kind::kString) text += take().text;
        return literal(text);
      }
      case Token::Kind::kInteger:
        return literal(static_cast<int64_t>(std::atoll(token.text.c_str())));
      case Token::Kind::kFloat:
        return literal(std::atof(token.text.c_str()));
      case Token::Kind::kName:
        if (token.text == "true" || token.text == "True") return literal(true);
        if (token.text == "false" || token.text == "False") return literal(false);
        if (token.text == "none" || token.text == "None") return literal(None{});
        return make(Kind::kName, token.text);
      case Token::Kind::kOperator:
        if (token.text == "(" || token.text == "[") return parse_sequence(token.text == "(");
        if (token.text == "{") return parse_dict();
        break;
      default:
        break;
    }
    --at_;
    fail("expected a value");
  }

  ExpressionPtr parse_sequence(bool tuple) {
    const std::string_view close = tuple ? ")" : "]";
    auto list = make(Kind::kList);
    bool comma = false;
    while (!accept_operator(close)) {
      list->operands.push_back(parse_expression());
      if (!is_operator(close)) {
        expect_operator(",");
        comma = true;
      }
    }
    if (tuple && !comma && list->operands.size() == 1) return std::move(list->operands[0]);
    return list;
  }

  ExpressionPtr parse_dict() {
    auto dict = make(Kind::kDict);
    while (!accept_operator("}")) {
      dict->operands.push_back(parse_expression());
      expect_operator(":");
      dict->operands.push_back(parse_expression());
      if (!is_operator("}")) expect_operator(",");
    }
    return dict;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(tokenize(source)).parse_all(); }

}  // namespace assay::jinja
