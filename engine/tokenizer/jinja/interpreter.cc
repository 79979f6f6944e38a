#include "engine/tokenizer/jinja/interpreter.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <unordered_map>

#include "engine/tokenizer/jinja/builtins.h"

namespace assay::jinja {
namespace {

constexpr int64_t kMaxSteps = 1'000'000;
constexpr size_t kMaxOutputBytes = 64u << 20;
constexpr size_t kMaxElements = 1'000'000;
constexpr int kMaxCalls = 100;

using Scope = std::unordered_map<std::string, Value>;

class Interpreter {
 public:
  explicit Interpreter(const Dict& globals) {
    Scope& scope = scopes_.emplace_back();
    for (const auto& [name, value] : globals) scope[name] = value;
    scope["namespace"] = scope["dict"] = Function([](Arguments& arguments) -> Value {
      return Dict(arguments.named.begin(), arguments.named.end());
    });
    scope["raise_exception"] = Function([](Arguments& arguments) -> Value {
      throw TemplateError{"the template refuses: " + (arguments.positional.empty()
                                                          ? std::string("raise_exception")
                                                          : arguments.positional[0].to_string())};
    });
    scope["range"] = Function(range);
    scope["strftime_now"] = Function(strftime_now);
  }

  std::string run(const Block& block) {
    std::string out;
    execute(block, out);
    return out;
  }

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using Kind = Expression::Kind;

  [[noreturn]] static void fail(int line, const std::string& what) {
    throw TemplateError{fmt::format("line {}: {}", line, what)};
  }

  // Today's date in the local time zone, as transformers gives it to templates.
  static Value strftime_now(Arguments& arguments) {
    const std::string* format =
        arguments.positional.size() == 1 ? arguments.positional[0].as_string() : nullptr;
    if (format == nullptr) throw TemplateError{"strftime_now needs a format"};
    if (format->empty()) return "";
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    char text[256];
    const size_t length = std::strftime(text, sizeof(text), format->c_str(), &local);
    if (length == 0) throw TemplateError{"strftime_now: the result is empty or too long"};
    return std::string(text, length);
  }

  static Value range(Arguments& arguments) {
    int64_t bounds[3] = {0, 0, 1};
    const size_t count = arguments.positional.size();
    for (size_t i = 0; i < count && i < 3; ++i) {
      const int64_t* bound = arguments.positional[i].as_int();
      if (bound == nullptr) throw TemplateError{"range needs whole numbers"};
      bounds[count == 1 ? 1 : i] = *bound;
    }
    if (bounds[2] == 0) throw TemplateError{"range: the step is zero"};
    List out;
    for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1]; i += bounds[2]) {
      if (out.size() >= 100'000) throw TemplateError{"range is too long"};
      out.emplace_back(i);
    }
    return out;
  }

  void step(int line) {
    if (++steps_ > kMaxSteps) fail(line, "the template does too much work; refused");
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->find(name);
      if (found != scope->end()) return found->second;
    }
    return {};
  }

  Flow execute(const Block& block, std::string& out) {
    for (const Statement& statement : block) {
      step(statement.line);
      const Flow flow = execute(statement, out);
      if (out.size() > kMaxOutputBytes) fail(statement.line, "the output is too long; refused");
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow execute(const Statement& statement, std::string& out) {
    switch (statement.kind) {
      case Statement::Kind::kText:
        out += statement.text;
        break;
      case Statement::Kind::kPrint:
        out += evaluate(*statement.expression).to_string();
        break;
      case Statement::Kind::kIf:
        return execute(
            evaluate(*statement.expression).truthy() ? statement.body : statement.otherwise, out);
      case Statement::Kind::kFor:
        execute_for(statement, out);
        break;
      case Statement::Kind::kSet:
        assign(statement, evaluate(*statement.expression));
        break;
      case Statement::Kind::kSetBlock: {
        std::string text;
        execute(statement.body, text);
        assign(statement, Value(std::move(text)));
        break;
      }
      case Statement::Kind::kMacro:
        define_macro(statement);
        break;
      case Statement::Kind::kBreak:
        return Flow::kBreak;
      case Statement::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNext;
  }

  void bind(const std::vector<std::string>& names, const Value& value, int line) {
    if (names.size() == 1) {
      scopes_.back()[names[0]] = value;
      return;
    }
    const List parts = elements(value);
    if (parts.size() != names.size()) {
      fail(line, fmt::format("cannot unpack {} values into {} names", parts.size(), names.size()));
    }
    for (size_t i = 0; i < names.size(); ++i) scopes_.back()[names[i]] = parts[i];
  }

  void assign(const Statement& statement, const Value& value) {
    if (statement.attribute.empty()) {
      bind(statement.names, value, statement.line);
    } else {
      lookup(statement.names[0]).set(statement.attribute, value);
    }
  }

  void execute_for(const Statement& statement, std::string& out) {
    List items = elements(evaluate(*statement.expression));
    scopes_.emplace_back();
    if (statement.condition) {
      List kept;
      for (const Value& item : items) {
        step(statement.line);
        bind(statement.names, item, statement.line);
        if (evaluate(*statement.condition).truthy()) kept.push_back(item);
      }
      items = std::move(kept);
    }
    const auto count = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < count; ++i) {
      step(statement.line);
      scopes_.back().clear();  // what a turn sets does not last
      bind(statement.names, items[i], statement.line);
      scopes_.back()["loop"] = Dict{{"index", i + 1},
                                    {"index0", i},
                                    {"first", i == 0},
                                    {"last", i + 1 == count},
                                    {"length", count},
                                    {"revindex", count - i},
                                    {"revindex0", count - i - 1},
                                    {"previtem", i > 0 ? items[i - 1] : Value()},
                                    {"nextitem", i + 1 < count ? items[i + 1] : Value()}};
      if (execute(statement.body, out) == Flow::kBreak) break;
    }
    scopes_.pop_back();
    if (count == 0) execute(statement.otherwise, out);
  }

  void define_macro(const Statement& macro) {
    scopes_.back()[macro.text] = Function([this, &macro](Arguments& arguments) -> Value {
      if (++calls_ > kMaxCalls) fail(macro.line, "macros call each other too deeply");
      Scope scope;
      for (size_t i = 0; i < macro.names.size(); ++i) {
        Value value;
        if (i < arguments.positional.size()) {
          value = arguments.positional[i];
        } else if (macro.defaults[i]) {
          value = evaluate(*macro.defaults[i]);
        }
        for (const auto& [name, given] : arguments.named) {
          if (name == macro.names[i]) value = given;
        }
        scope[macro.names[i]] = std::move(value);
      }
      scopes_.push_back(std::move(scope));
      std::string out;
      execute(macro.body, out);
      scopes_.pop_back();
      --calls_;
      return out;
    });
  }

  Value evaluate(const Expression& e) {
    step(e.line);
    switch (e.kind) {
      case Kind::kLiteral:
        return e.value;
      case Kind::kName:
        return lookup(e.text);
      case Kind::kList: {
        List list;
        for (const auto& operand : e.operands) list.push_back(evaluate(*operand));
        return list;
      }
      case Kind::kDict: {
        Value dict = Dict{};
        for (size_t i = 0; i + 1 < e.operands.size(); i += 2) {
          dict.set(evaluate(*e.operands[i]).to_string(), evaluate(*e.operands[i + 1]));
        }
        return dict;
      }
      case Kind::kUnary:
        return unary(e);
      case Kind::kBinary:
        return binary(e);
      case Kind::kConditional:
        if (evaluate(*e.operands[1]).truthy()) return evaluate(*e.operands[0]);
        return e.operands[2] ? evaluate(*e.operands[2]) : Value();
      case Kind::kAttribute:
        return attribute(e);
      case Kind::kIndex:
        return index(e);
      case Kind::kSlice:
        return slice(e);
      case Kind::kCall:
        return call(e);
      case Kind::kFilter: {
        const Value value = evaluate(*e.operands[0]);
        Arguments arguments = evaluate_arguments(e);
        return apply_filter(e.text, value, arguments);
      }
      case Kind::kTest: {
        const Value value = evaluate(*e.operands[0]);
        Arguments arguments = evaluate_arguments(e);
        return apply_test(e.text, value, arguments);
      }
    }
    return {};
  }

  Arguments evaluate_arguments(const Expression& e) {
    Arguments arguments;
    for (size_t i = 1; i < e.operands.size(); ++i) {
      arguments.positional.push_back(evaluate(*e.operands[i]));
    }
    for (const auto& [name, value] : e.named) arguments.named.emplace_back(name, evaluate(*value));
    return arguments;
  }

  Value call(const Expression& e) {
    const Value callee = evaluate(*e.operands[0]);
    if (callee.as_function() == nullptr) {
      fail(e.line, fmt::format("\"{}\" cannot be called", e.operands[0]->text));
    }
    Arguments arguments = evaluate_arguments(e);
    return (*callee.as_function())(arguments);
  }

  Value attribute(const Expression& e) {
    const Value object = evaluate(*e.operands[0]);
    if (object.is_undefined()) {
      fail(e.line,
           fmt::format("\"{}\" is undefined and has no \"{}\"", e.operands[0]->text, e.text));
    }
    const Value found = object.get(e.text);
    return found.is_undefined() ? find_method(object, e.text) : found;
  }

  Value index(const Expression& e) {
    const Value object = evaluate(*e.operands[0]);
    const Value key = evaluate(*e.operands[1]);
    if (object.is_undefined()) {
      fail(e.line, fmt::format("\"{}\" is undefined and has no element {}", e.operands[0]->text,
                               key.to_repr()));
    }
    if (object.as_dict() != nullptr) return object.get(key.to_string());
    if (const int64_t* position = key.as_int()) {
      const List items = elements(object);
      const auto count = static_cast<int64_t>(items.size());
      const int64_t at = *position < 0 ? *position + count : *position;
      return at >= 0 && at < count ? items[at] : Value();
    }
    return key.as_string() != nullptr ? find_method(object, *key.as_string()) : Value();
  }

  Value slice(const Expression& e) {
    const Value object = evaluate(*e.operands[0]);
    const List items = elements(object);
    const auto count = static_cast<int64_t>(items.size());
    const auto bound = [&](size_t operand, int64_t fallback) {
      if (!e.operands[operand]) return fallback;
      const Value value = evaluate(*e.operands[operand]);
      if (value.is_none()) return fallback;
      if (value.as_int() == nullptr) fail(e.line, "a slice needs whole numbers");
      return *value.as_int();
    };
    const int64_t stride = bound(3, 1);
    if (stride == 0) fail(e.line, "the step of a slice is zero");
    const auto clamp = [&](int64_t at) {
      if (at < 0) at += count;
      return stride > 0 ? std::clamp<int64_t>(at, 0, count)
                        : std::clamp<int64_t>(at, -1, count - 1);
    };
    const int64_t begin =
        e.operands[1] ? clamp(bound(1, stride > 0 ? 0 : count - 1)) : (stride > 0 ? 0 : count - 1);
    const int64_t end = e.operands[2] ? clamp(bound(2, stride > 0 ? count : -1 - count))
                                      : (stride > 0 ? count : -1);
    List out;
    for (int64_t i = begin; stride > 0 ? i < end : i > end;) {
      out.push_back(items[i]);
      if (stride > count || stride < -count) break;
      i += stride;
    }
    if (object.as_string() == nullptr) return out;
    std::string text;
    for (const Value& part : out) text += part.to_string();
    return text;
  }

  Value unary(const Expression& e) {
    const Value value = evaluate(*e.operands[0]);
    if (e.text == "not") return !value.truthy();
    const bool negative = e.text == "-";
    if (const int64_t* whole = value.as_int()) {
      return negative ? static_cast<int64_t>(0 - static_cast<uint64_t>(*whole)) : *whole;
    }
    if (const double* real = value.as_float()) return negative ? -*real : *real;
    fail(e.line, "only a number can have a sign");
  }

  Value binary(const Expression& e) {
    const Value left = evaluate(*e.operands[0]);
    if (e.text == "and") return left.truthy() ? evaluate(*e.operands[1]) : left;
    if (e.text == "or") return left.truthy() ? left : evaluate(*e.operands[1]);
    const Value right = evaluate(*e.operands[1]);
    check_joined_size(e, left, right);
    if (e.text == "==") return left.equals(right);
    if (e.text == "!=") return !left.equals(right);
    if (e.text == "in") return contains(right, left);
    if (e.text == "not in") return !contains(right, left);
    if (e.text == "~") return left.to_string() + right.to_string();
    if (e.text == "+" && left.as_string() != nullptr && right.as_string() != nullptr) {
      return *left.as_string() + *right.as_string();
    }
    if (e.text == "+" && left.as_list() != nullptr && right.as_list() != nullptr) {
      List joined = *left.as_list();
      joined.insert(joined.end(), right.as_list()->begin(), right.as_list()->end());
      return joined;
    }
    if (left.as_string() != nullptr && right.as_string() != nullptr) {
      const int order = left.as_string()->compare(*right.as_string());
      return compare(e, order);
    }
    return arithmetic(e, left, right);
  }

  // Doubling again and again must not eat the memory.
  static void check_joined_size(const Expression& e, const Value& left, const Value& right) {
    const auto text_size = [](const Value& v) { return v.as_string() ? v.as_string()->size() : 0; };
    const auto list_size = [](const Value& v) { return v.as_list() ? v.as_list()->size() : 0; };
    if (text_size(left) + text_size(right) > kMaxOutputBytes ||
        list_size(left) + list_size(right) > kMaxElements) {
      fail(e.line, "a value becomes too long; refused");
    }
  }

  static Value compare(const Expression& e, int order) {
    if (e.text == "<") return order < 0;
    if (e.text == ">") return order > 0;
    if (e.text == "<=") return order <= 0;
    if (e.text == ">=") return order >= 0;
    fail(e.line, fmt::format("\"{}\" is not defined for these values", e.text));
  }

  static Value arithmetic(const Expression& e, const Value& left, const Value& right) {
    const auto number = [&](const Value& value) -> double {
      if (const int64_t* whole = value.as_int()) return static_cast<double>(*whole);
      if (const double* real = value.as_float()) return *real;
      if (const bool* flag = value.as_bool()) return *flag ? 1 : 0;
      fail(e.line, fmt::format("\"{}\" is not defined for {} and {}", e.text, left.to_repr(),
                               right.to_repr()));
    };
    const double a = number(left), b = number(right);
    const bool whole = left.as_float() == nullptr && right.as_float() == nullptr && e.text != "/";
    double result = 0;
    if (e.text == "+") {
      result = a + b;
    } else if (e.text == "-") {
      result = a - b;
    } else if (e.text == "*") {
      result = a * b;
    } else if (e.text == "/" || e.text == "//" || e.text == "%") {
      if (b == 0) fail(e.line, "division by zero");
      result = e.text == "/" ? a / b : std::floor(a / b);
      if (e.text == "%") result = a - b * result;
    } else {
      return compare(e, a < b ? -1 : (a > b ? 1 : 0));
    }
    if (whole && std::abs(result) < 9e15) return static_cast<int64_t>(result);
    return result;
  }

  std::vector<Scope> scopes_;
  int64_t steps_ = 0;
  int calls_ = 0;
};

}  // namespace

std::string render(const Block& block, const Dict& globals) {
  const ValueHeap heap;
  return Interpreter(globals).run(block);
}

}  // namespace assay::jinja
