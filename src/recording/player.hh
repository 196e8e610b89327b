// Plays a recording on a terminal.
#pragma once

#include <chrono>
#include <optional>

#include "recording/reader.hh"

namespace mezite::recording {

struct PlayOptions {
  double speed = 1.0;                                 // 0.1–100
  std::optional<std::chrono::milliseconds> max_idle;  // longer pauses are shortened to this
  int keys_fd = -1;  // a terminal in raw mode: space pauses, '.' steps, + and - change speed, q ends; -1: none
};

// Writes the output to `out_fd` in its own time. Blocks until the end, q, or EPIPE.
Status play(Reader& reader, int out_fd, const PlayOptions& options);

}  // namespace mezite::recording
