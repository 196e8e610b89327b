// Moments as flags name them.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.hh"

namespace mezite::client {

// "10m" (ago), "2026-03-24T09:15:00Z", "2026-03-24" → milliseconds since 1970; 0 for an empty text. `flag` is for the
// error.
Result<std::int64_t> parse_instant(const char* flag, const std::string& text, SystemTime now);

}  // namespace mezite::client
