// Plays a recording: on a terminal with keys to stop, step and seek, or into a pipe.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "recording/reader.hh"

namespace mezite::recording {

// Pauses over these are shortened, so that a gap of a night does not look like a player that hangs.
inline constexpr std::chrono::milliseconds kLongestPause = std::chrono::minutes(1);
inline constexpr std::chrono::milliseconds kLongestPauseInPipe = std::chrono::seconds(2);

struct PlayOptions {
  double speed = 1.0;  // 0.1–100
  std::chrono::milliseconds max_idle = kLongestPause;
  std::chrono::milliseconds start{0};
  // A terminal in raw mode (play_keys.hh); -1: none.
  int keys_fd = -1;
  // Readable: end at once, as for a signal (signalfd(2)); -1: none.
  int stop_fd = -1;
  // Whether out_fd is a terminal: seeking clears it, and its title says where playback is.
  enum class Screen { kPipe, kTerminal } screen = Screen::kPipe;
  std::optional<std::chrono::milliseconds> length;  // of the recording, when it is known
  // Puts the reader to some place at or before the time, as Reader::seek(). Without it only what lies ahead is reached.
  std::function<Status(std::chrono::milliseconds at)> seek;
};

enum class PlayEnd {
  kFinished,
  kQuit,        // by key
  kStopped,     // by stop_fd
  kReaderGone,  // nobody reads out_fd any more
};

// Writes what the session showed to `out_fd`, in its own time, as far as OutputFilter lets it through; afterwards the
// screen is as it was outside. Memory does not grow with the recording. An altered recording is played up to the
// segment that does not verify.
Result<PlayEnd> play(Reader& reader, int out_fd, const PlayOptions& options);

}  // namespace mezite::recording
