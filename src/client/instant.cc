#include "client/instant.hh"

#include "base/text.hh"

namespace mezite::client {

Result<std::int64_t> parse_instant(const char* flag, const std::string& text, SystemTime now) {
  if (text.empty()) return 0;
  if (const auto ago = parse_duration(text)) return to_unix_millis(now - *ago);
  if (const auto time = parse_rfc3339(text.size() == 10 ? text + "T00:00:00Z" : text)) return to_unix_millis(*time);
  return fail(ErrorCode::kInvalidArgument,
              "{}: '{}' is neither a duration ago (10m, 24h, 7d) nor a time "
              "(2026-03-24, 2026-03-24T09:15:00Z)",
              flag, printable(text));
}

}  // namespace mezite::client
