// What a recording holds: bytes in a direction, sizes of the terminal, and how it ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.hh"

namespace mezite::recording {

// The numbers are those of the file format.
enum class EventKind : std::uint8_t {
  kOutput = 1,  // of a PTY
  kInput = 2,   // to a PTY
  kResize = 3,
  kStdout = 4,  // of a command without a PTY
  kStderr = 5,
  kStdin = 6,
  kEnd = 7,
};

// How a session ended: an exit code, or a signal's name without "SIG", or neither (the connection was lost).
struct SessionEnd {
  std::optional<std::int32_t> exit_code;
  std::string signal;
  bool operator==(const SessionEnd&) const = default;
};

struct Event {
  std::chrono::milliseconds at{0};  // since the header's start
  EventKind kind = EventKind::kOutput;
  Bytes data;  // of output, input, stdout, stderr, stdin
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
  SessionEnd end;

  bool operator==(const Event&) const = default;
};

}  // namespace mezite::recording
