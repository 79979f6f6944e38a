// Errors as values. A function that can fail because of its input returns Result<T>; CHECK
// (check.h) is for bugs of our own.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace assay {

// What was wrong, where (file, line, field), and what to do: one line, shown to the user as it is.
struct Error {
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The value; only when ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // The error; only when not ok().
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};

class [[nodiscard]] Status : public Result<Ok> {
 public:
  Status() : Result<Ok>(Ok{}) {}
  Status(Error error) : Result<Ok>(std::move(error)) {}
};

}  // namespace assay

#define ASSAY_CONCAT_INNER(a, b) a##b
#define ASSAY_CONCAT(a, b) ASSAY_CONCAT_INNER(a, b)

// Declares or assigns `lhs` from a Result, or returns its error to the caller.
#define ASSAY_TRY(lhs, expression) \
  ASSAY_TRY_INNER(ASSAY_CONCAT(assay_try_, __LINE__), lhs, expression)
#define ASSAY_TRY_INNER(name, lhs, expression) \
  auto name = (expression);                    \
  if (!name.ok()) return name.error();         \
  lhs = std::move(name).value()

#define ASSAY_TRY_STATUS(expression)                         \
  if (auto assay_status = (expression); assay_status.ok()) { \
  } else                                                     \
    return assay_status.error()
