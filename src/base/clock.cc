#include "base/clock.hh"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <limits>

namespace mezite {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

class SystemClock final : public Clock {
 public:
  SystemTime now() const override { return std::chrono::system_clock::now(); }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

// Nanoseconds hold 292 years from 1970 either way; 269 leave room for the leeways and lifetimes that are added to a
// time.
constexpr std::int64_t kFarthestSeconds = 8'500'000'000;

// Reads exactly count digits at text[at]; -1 if they are not there.
int digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

struct Unit {
  std::string_view name;
  std::int64_t millis;
};
constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::int64_t to_unix_seconds(SystemTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}
std::int64_t to_unix_millis(SystemTime time) {
  return std::chrono::floor<milliseconds>(time.time_since_epoch()).count();
}
SystemTime from_unix_seconds(std::int64_t seconds) {
  return SystemTime(std::chrono::seconds(std::clamp(seconds, -kFarthestSeconds, kFarthestSeconds)));
}
SystemTime from_unix_millis(std::int64_t millis) {
  return SystemTime(milliseconds(std::clamp(millis, -kFarthestSeconds * 1000, kFarthestSeconds * 1000)));
}

std::string to_rfc3339(SystemTime time) {
  std::int64_t millis = to_unix_millis(time);
  std::int64_t fraction = ((millis % 1000) + 1000) % 1000;
  std::time_t seconds = static_cast<std::time_t>((millis - fraction) / 1000);
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

Result<SystemTime> parse_rfc3339(std::string_view text) {
  auto bad = [&] { return fail(ErrorCode::kInvalidArgument, "'{}' is not a time like 2026-03-24T09:15:00Z", text); };
  int year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
  int hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 60 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' || text[16] != ':') {
    return bad();
  }
  std::size_t at = 19;
  std::int64_t nanos = 0;
  if (at < text.size() && text[at] == '.') {
    std::int64_t scale = 100'000'000;
    std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) nanos += (text[at] - '0') * scale;
    if (at == first) return bad();
  }
  int offset_minutes = 0;
  if (at + 1 == text.size() && (text[at] == 'Z' || text[at] == 'z')) {
  } else if (at + 6 == text.size() && (text[at] == '+' || text[at] == '-') && text[at + 3] == ':') {
    int hours = digits(text, at + 1, 2), minutes = digits(text, at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return bad();
    offset_minutes = (hours * 60 + minutes) * (text[at] == '-' ? -1 : 1);
  } else {
    return bad();
  }
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return bad();
  const std::chrono::sys_seconds time = std::chrono::sys_days(date) + std::chrono::hours(hour) +
                                        std::chrono::minutes(minute - offset_minutes) + std::chrono::seconds(second);
  constexpr std::chrono::sys_seconds kFirst{std::chrono::seconds(-kFarthestSeconds)};
  constexpr std::chrono::sys_seconds kLast{std::chrono::seconds(kFarthestSeconds)};
  if (time < kFirst || time >= kLast) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is outside of the years 1701 to 2238", text);
  }
  return SystemTime(time) + std::chrono::nanoseconds(nanos);
}

Result<milliseconds> parse_duration(std::string_view text) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 2'000'000;  // stays in nanoseconds
  std::int64_t total = 0;
  std::string_view rest = text;
  do {
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc() || value < 0) total = -1;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    std::size_t letters = 0;
    while (letters < rest.size() && (rest[letters] < '0' || rest[letters] > '9')) ++letters;
    std::int64_t millis = 0;
    for (const Unit& unit : kUnits) {
      if (unit.name == rest.substr(0, letters)) millis = unit.millis;
    }
    if (total < 0 || millis == 0 || value > (kMost - total) / millis) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is not a duration like 30s, 10m, 12h or 7d", text);
    }
    total += value * millis;
    rest.remove_prefix(letters);
  } while (!rest.empty());
  return milliseconds(total);
}

std::string format_duration(milliseconds duration) {
  std::int64_t left = duration.count();
  if (left <= 0) return "0s";
  std::string out;
  for (auto [name, millis] : {Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1000}, Unit{"ms", 1}}) {
    if (left >= millis) out += fmt::format("{}{}", left / millis, name);
    left %= millis;
  }
  return out;
}

}  // namespace mezite
