#include "base/log.hh"

#include <unistd.h>

#include <atomic>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/file.hh"
#include "base/text.hh"

namespace mezite::log {
namespace {

std::atomic<Level> least_level{Level::kInfo};
std::atomic<Format> line_format{Format::kJson};

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};

std::string_view name_of(Level level) { return kNames[static_cast<std::size_t>(level)]; }

}  // namespace

Result<Level> parse_level(std::string_view text) {
  for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (name_of(level) == text) return level;
  }
  return fail(ErrorCode::kInvalidArgument, "'{}' is not a log level; use debug, info, warn or error", printable(text));
}

Result<Format> parse_format(std::string_view text) {
  if (text == "json") return Format::kJson;
  if (text == "text") return Format::kText;
  return fail(ErrorCode::kInvalidArgument, "'{}' is not a log format; use json or text", printable(text));
}

void set_level(Level level) { least_level = level; }
void set_format(Format format) { line_format = format; }
bool enabled(Level level) { return level >= least_level; }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  std::string time = to_rfc3339(system_clock().now());
  if (line_format == Format::kJson) {
    line = fmt::format(R"({{"ts":"{}","level":"{}","msg":{})", time, name_of(level), json_quote(message));
    for (const Field& field : fields) {
      line += fmt::format(",{}:{}", json_quote(field.name), field.quoted ? json_quote(field.value) : field.value);
    }
    line += "}\n";
  } else {
    line = fmt::format("{} {:<5} {}", time, name_of(level), printable(message));
    for (const Field& field : fields) line += fmt::format(" {}={}", field.name, printable(field.value));
    line += '\n';
  }
  // One write per line keeps lines of threads and processes apart. A log that cannot be written has nowhere to say so.
  [[maybe_unused]] Status ignored = write_all(STDERR_FILENO, as_bytes(line));
}

}  // namespace mezite::log
