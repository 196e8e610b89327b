// Command lines on the screen of a multiplexer (tmux, GNU screen).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "recording/search/keys.hh"
#include "recording/search/pane.hh"
#include "recording/search/screen.hh"

namespace mezite::recording {

// A multiplexer draws the lines of several programs where it likes, so what is known of a line is where it stands: in a
// pane, behind a prompt. A line counts when it began behind something that ends as prompts do, with nothing below it in
// its pane, when what was typed came to stand there, and Enter was pressed. Editors and pagers have something below
// (their status, the text, "~"). Lines typed ahead count when they come to stand behind a prompt that was there before.
class MultiplexedLines {
 public:
  using Found = std::function<void(std::chrono::milliseconds at, std::string text)>;
  // The screen outlives it.
  MultiplexedLines(const Screen& screen, Found found);

  void begin(Multiplexer multiplexer);
  void end();  // the multiplexer left the screen
  Multiplexer multiplexer() const { return multiplexer_; }

  void stroke(Stroke stroke, std::chrono::milliseconds at);
  void output_comes(std::chrono::milliseconds at) { output_at_ = at; }
  // As Screen::Watcher's.
  void drawn(std::string_view character);
  void leaving_row();

 private:
  struct Line {
    Pane pane;
    ScreenPlace start;
    std::string prompt;  // what stood before it
    bool last = false;   // nothing stood below (no editor), as far as one can tell
    bool known = false;  // began at a prompt, at its start: else it is looked for behind prompts that were seen
    std::string typed;   // what could be echoed, at most kMaxCommandBytes; wiped with the line
    std::size_t echoed = 0;
    bool recalled = false, searching = false, edited = false;
    std::size_t edited_at = 0;  // how much was typed before the last key that edits
    std::string seen;           // on the screen, when Enter was pressed
    std::chrono::milliseconds left_at{0};
    bool answered = false;  // something was drawn since
    std::size_t looks = 0;
    Line() = default;
    Line(Line&&) = default;
    Line& operator=(Line&&) = default;
    ~Line();
  };

  Line& typing();
  Line start_here();
  bool holds(const Line& line);  // the cursor is on it, and its prompt stands where it stood
  bool follow(Line& line);
  void text(char c);
  void enter();
  void settle();
  bool may_look(std::chrono::milliseconds now);
  void looked_at(std::size_t cells);
  std::optional<std::string> shown(const Line& line);
  std::optional<std::string> shown_behind_prompt(const Line& line);
  void remember(std::string_view prompt);

  const Screen& screen_;
  Found found_;
  Multiplexer multiplexer_ = Multiplexer::kNone;
  std::optional<Line> typing_;
  std::deque<Line> left_;            // Enter was pressed, and they have not come to their end; at most kMaxPending
  std::deque<std::string> prompts_;  // the last that commands stood behind
  bool prefixed_ = false;            // the next key may be the multiplexer's
  std::chrono::milliseconds at_{0}, last_key_at_{0}, output_at_{0}, looked_at_{0};
  std::size_t cells_left_;  // of the screen to look at: come back with the session's time
};

}  // namespace mezite::recording
