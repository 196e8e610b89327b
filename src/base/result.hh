// Errors are values: Result<T> carries a T or an Error; Status carries nothing or an Error.
#pragma once

#include <fmt/core.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mezite {

enum class ErrorCode {
  kInvalidArgument,     // the caller asked for something that can never work
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,    // who asks is known and may not
  kUnauthenticated,     // who asks is not known
  kFailedPrecondition,  // right request, wrong state
  kResourceExhausted,   // a bound was reached
  kUnavailable,         // a peer is not there now; trying again may help
  kTimeout,
  kIo,
  kCorrupt,             // stored data does not verify
  kProtocol,            // a peer broke its protocol
  kInternal,
};

// The name of a code in snake_case, for logs and JSON: "not_found".
std::string_view error_code_name(ErrorCode code);

// What went wrong, as one sentence a person can act on. Never holds a secret.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// return fail(ErrorCode::kNotFound, "no node '{}'", name);
template <class... Args>
std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// The error again, with what was being done in front: "opening the spool: disk full".
std::unexpected<Error> wrap(Error error, std::string_view doing);

// As wrap(Error{kIo, strerror(errno_value)}, doing).
std::unexpected<Error> fail_errno(int errno_value, std::string_view doing);

}  // namespace mezite

#define MEZ_CONCAT_(a, b) a##b
#define MEZ_CONCAT(a, b) MEZ_CONCAT_(a, b)

// MEZ_TRY(auto value, f()); declares value from f()'s Result, or returns its error from the enclosing function.
#define MEZ_TRY(declaration, expression) \
  MEZ_TRY_(MEZ_CONCAT(mez_result_, __LINE__), declaration, expression)
#define MEZ_TRY_(temporary, declaration, expression)                         \
  auto temporary = (expression);                                             \
  if (!temporary) return std::unexpected(std::move(temporary).error());      \
  declaration = std::move(*temporary)

// MEZ_CHECK(f()); returns the error of f()'s Status (or Result) from the enclosing function.
#define MEZ_CHECK(expression)                                                              \
  do {                                                                                     \
    auto mez_status = (expression);                                                        \
    if (!mez_status) return std::unexpected(std::move(mez_status).error());                \
  } while (false)
