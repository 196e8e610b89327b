// Time is injected: code takes a Clock, tests move a ManualClock. Durations and instants as text.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite {

using SystemTime = std::chrono::system_clock::time_point;  // wall clock, UTC
using SteadyTime = std::chrono::steady_clock::time_point;  // for timeouts; never jumps

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SystemTime now() const = 0;
  virtual SteadyTime steady() const = 0;
};

// The machine's clocks; lives for ever.
const Clock& system_clock();

// A clock that stands still until it is moved: read on any thread, moved by one.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(SystemTime start = SystemTime(std::chrono::seconds(1'800'000'000)))
      : now_(start.time_since_epoch()) {}
  SystemTime now() const override { return SystemTime(now_.load()); }
  SteadyTime steady() const override { return SteadyTime(steady_.load()); }
  void advance(std::chrono::nanoseconds by) {
    step_wall(by);
    steady_ = steady_.load() + std::chrono::duration_cast<SteadyTime::duration>(by);
  }
  void step_wall(std::chrono::nanoseconds by) {
    now_ = now_.load() + std::chrono::duration_cast<SystemTime::duration>(by);
  }

 private:
  std::atomic<SystemTime::duration> now_;
  std::atomic<SteadyTime::duration> steady_{std::chrono::hours(1)};
};

std::int64_t to_unix_seconds(SystemTime time);
std::int64_t to_unix_millis(SystemTime time);
SystemTime from_unix_seconds(std::int64_t seconds);
SystemTime from_unix_millis(std::int64_t millis);

// "2026-03-24T09:15:00.123Z" (RFC 3339, milliseconds, UTC).
std::string to_rfc3339(SystemTime time);
// Takes any RFC 3339 offset and any number of fraction digits.
Result<SystemTime> parse_rfc3339(std::string_view text);

// "90s", "12h", "1h30m", "250ms", "7d", "0s"; a bare number is refused, as is a negative one.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// The shortest of the same forms: "1h30m".
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace mezite
