// Values of the template language. Lists, dicts and callables are shared by reference, as in
// Python.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace assay::jinja {

// Thrown inside the interpreter only; render() turns it into an Error.
struct TemplateError {
  std::string message;
};

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in order of insertion
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
using Function = std::function<Value(Arguments&)>;
struct Undefined {};
struct None {};

class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(List value);
  Value(Dict value);
  Value(Function value) : data_(std::make_shared<Function>(std::move(value))) {}

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&data_); }
  const double* as_float() const { return std::get_if<double>(&data_); }
  const std::string* as_string() const { return std::get_if<std::string>(&data_); }
  List* as_list() const { return shared<List>(); }
  Dict* as_dict() const { return shared<Dict>(); }
  Function* as_function() const { return shared<Function>(); }

  bool truthy() const;
  // As `{{ value }}` prints it: Python's str(). Values nested over kMaxDepth levels are refused, by
  // to_repr and equals too.
  std::string to_string() const;
  // As it stands inside a printed list: Python's repr().
  std::string to_repr(int depth = 0) const;
  // Element of a dict by key; Undefined if absent.
  Value get(const std::string& key) const;
  void set(const std::string& key, Value value) const;  // on a dict
  bool equals(const Value& other, int depth = 0) const;

  static constexpr int kMaxDepth = 100;

 private:
  friend class ValueHeap;
  template <typename T>
  T* shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Function>>
      data_;
};

// While it lives, this thread's new lists and dicts are noted; at its end they are emptied one by
// one. So neither a list that holds itself nor one that is nested a million levels deep can leak
// or exhaust the stack when it is freed.
class ValueHeap {
 public:
  ValueHeap();
  ~ValueHeap();
  ValueHeap(const ValueHeap&) = delete;
  ValueHeap& operator=(const ValueHeap&) = delete;

 private:
  friend class Value;
  ValueHeap* outer_;
  std::vector<Value> values_;
};

}  // namespace assay::jinja
