// One line per event on stderr: JSON by default, or text. log::info("agent joined", {{"node", name}});
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kJson, kText };

// "debug", "info", "warn", "error" / "json", "text".
Result<Level> parse_level(std::string_view text);
Result<Format> parse_format(std::string_view text);

void set_level(Level level);
void set_format(Format format);
bool enabled(Level level);

// A name and a value; values are escaped by the logger, so hostile text is welcome. Secrets are not.
struct Field {
  std::string_view name;
  std::string value;
  bool quoted = true;  // false: a number or a truth value

  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  Field(std::string_view n, const std::string& v) : name(n), value(v) {}
  Field(std::string_view n, const Error& e) : name(n), value(e.message) {}
  Field(std::string_view n, bool v) : name(n), value(v ? "true" : "false"), quoted(false) {}
  template <std::integral T>
  Field(std::string_view n, T v) : name(n), value(std::to_string(v)), quoted(false) {}
};

void write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kDebug)) write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kInfo)) write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::kWarn)) write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kError, message, fields);
}

}  // namespace mezite::log
