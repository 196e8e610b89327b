// The part of a multiplexer's screen in which somebody types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "recording/search/screen.hh"

namespace mezite::recording {

enum class Multiplexer : std::uint8_t {
  kNone,
  kTmux,    // borders are drawn with lines, and the last row may be its status
  kScreen,  // regions end in a caption: a row in reverse
};

// Which one the command starts: "tmux a", "TERM=xterm exec screen -r", "ssh -t node 'tmux attach'"; none for "man
// tmux".
Multiplexer multiplexer_in(std::string_view command);

// Columns [left, right), between the borders beside a place.
struct Pane {
  std::size_t left = 0, right = 0;
};
Pane pane_at(const Screen& screen, std::size_t row, std::size_t column);

// Nothing stands below the row in its pane: so it is at a shell's prompt, and hardly ever in an editor.
bool is_last_line(const Screen& screen, const Pane& pane, std::size_t row, Multiplexer multiplexer);

// Ends as prompts do: "$ ", "# ", "> ", "% "; or begins as those with an arrow do.
bool is_prompt(std::string_view text);

// Whether a line is too long for the row: it fills it, but for a blank at its end.
bool goes_on(const Screen& screen, const Pane& pane, std::size_t row);
// A row that goes on, from the column to the pane's end.
std::string full_row(const Screen& screen, const Pane& pane, std::size_t row, std::size_t column);
// What stands from the place to the end of its line, in the rows below where it goes on.
std::string line_from(const Screen& screen, const Pane& pane, std::size_t row, std::size_t column);

}  // namespace mezite::recording
