// Reads and verifies a recording as a stream, in memory that does not grow with it. Input is hostile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "recording/event.hh"
#include "recording/header.hh"

namespace mezite::recording {

// Fills as much of the buffer as it likes; 0 is the end.
using Pull = std::function<Result<std::size_t>(std::span<std::uint8_t> buffer)>;

class Reader {
 public:
  static Result<Reader> open(Pull pull);
  static Result<Reader> open_file(const std::filesystem::path& path);
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  const Header& header() const;

  // The next event; none at the end. An altered byte is kCorrupt naming the offset of its segment, after the events of
  // all earlier segments were given.
  Result<std::optional<Event>> next();

  // After the end: whether the recording was closed properly. A torn one lacks its end (crash, or still being written).
  bool complete() const;
  // Bytes up to and including the last whole segment: where a torn file is cut.
  std::uint64_t valid_bytes() const;

 private:
  struct State;
  explicit Reader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads all of it; gives what the events say, for storage and recovery.
struct Verified {
  bool complete = false;
  std::uint64_t valid_bytes = 0;
  std::chrono::milliseconds duration{0};
  std::optional<SessionEnd> end;
};
Result<Verified> verify_file(const std::filesystem::path& path);

}  // namespace mezite::recording
