// What goes into a statement, and what comes out of it, without naming the database.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.hh"
#include "base/clock.hh"

namespace mezite::store {

// A value to bind: null, a 64-bit integer, text or bytes. Views what it was made of, so it lives no longer than the
// call that it is an argument of. Instants are stored as milliseconds since 1970.
class Parameter {
 public:
  using Any = std::variant<std::nullptr_t, std::int64_t, std::string_view, BytesView>;

  Parameter(std::nullptr_t) : value_(nullptr) {}
  template <std::integral T>
  Parameter(T value) : value_(static_cast<std::int64_t>(value)) {}
  Parameter(std::string_view text) : value_(text) {}
  Parameter(const std::string& text) : value_(std::string_view(text)) {}
  Parameter(const char* text) : value_(std::string_view(text)) {}
  Parameter(BytesView bytes) : value_(bytes) {}
  Parameter(const Bytes& bytes) : value_(BytesView(bytes)) {}
  Parameter(SystemTime time) : value_(to_unix_millis(time)) {}
  template <class T>
  Parameter(const std::optional<T>& value) : value_(nullptr) {
    if (value) value_ = Parameter(*value).value_;
  }

  const Any& value() const { return value_; }

 private:
  Any value_;
};

}  // namespace mezite::store
