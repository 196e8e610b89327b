// Which commands were typed in a recorded session.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "recording/event.hh"
#include "recording/header.hh"
#include "recording/reader.hh"
#include "recording/search/keys.hh"
#include "recording/search/multiplexed.hh"
#include "recording/search/screen.hh"
#include "recording/utf8_joiner.hh"

namespace mezite::recording {

inline constexpr std::size_t kMaxCommandBytes = 4096;  // of one; what is longer is cut
inline constexpr std::size_t kMaxCommandsOfSession = 50'000;

struct Command {
  std::chrono::milliseconds at{0};  // when Enter was pressed, since the session's start
  std::string text;                 // UTF-8 without control characters
  bool operator==(const Command&) const = default;
};

// Follows a session on a terminal. A command is what stood on the screen, between where the cursor was when typing
// began and the end of the line, at the moment when the line was left after Enter: so editing, completion, history and
// search count as the user saw them. What was typed is never taken itself. A line counts only when something that was
// typed appeared there (its echo), or a key of history or completion was pressed: passwords, which have no echo, do
// not; nor does what is typed into full-screen programs (the alternate screen).
//
// Lines typed at other prompts (psql, python) count as well. Inside tmux and GNU screen, which draw on the alternate
// screen, lines are told by the prompt before them: MultiplexedLines.
class CommandFinder : private Screen::Watcher {
 public:
  using Found = std::function<void(Command command)>;
  CommandFinder(const Header& header, Found found);
  ~CommandFinder() override;
  CommandFinder(const CommandFinder&) = delete;
  CommandFinder& operator=(const CommandFinder&) = delete;

  void take(const Event& event);

 private:
  // A line that is being typed, or that was left with Enter and whose end has not come to the screen yet.
  struct Line {
    ScreenPlace start;
    std::string typed;       // what could be echoed, at most kMaxCommandBytes; wiped with the line
    std::size_t echoed = 0;  // of typed, what came to the screen
    bool recalled = false;   // history, search, completion: the screen says what it is
    bool edited = false;     // cursor keys, backspace: the screen is not what was typed
    bool ahead = false;      // typed while something else ran: where it will stand is not known
    bool left = false;       // Enter was pressed …
    bool mute = false;       // … and then something else came than its echo: typed without echo
    bool answered = false;   // … and then something was drawn
    std::chrono::milliseconds began_at{0}, left_at{0};
    Line() = default;
    Line(Line&&) = default;
    Line& operator=(Line&&) = default;
    ~Line();
  };

  void input(BytesView bytes);
  void press(std::string_view keys);
  bool is_drawing() const;
  void release();
  void output(BytesView bytes);
  void skim(std::string_view text);
  void wake();
  void stroke(Stroke stroke);
  Line& typing();
  void leave(Line& line);
  void drawn(std::string_view character) override;
  void line_feed() override;
  void leaving_row() override { multiplexed_.leaving_row(); }
  void mode(std::size_t number, bool on) override;
  void soft_reset() override { soft_reset_ = true; }
  void finish(Line& line);
  void report(std::chrono::milliseconds at, std::string text);

  Found found_;
  Screen screen_;
  Utf8Joiner joiner_;
  std::deque<Line> lines_;  // the last one may still be typed; at most kMaxPending
  std::chrono::milliseconds at_{0};
  std::size_t since_input_bytes_ = 0;  // of output
  std::string tail_;                   // … beyond what was drawn: only its end matters
  bool tail_alternate_ = false;
  KeyReader keys_;
  MultiplexedLines multiplexed_;
  std::optional<std::chrono::milliseconds> cursor_hidden_at_;
  std::string held_;                          // keys that came while a multiplexer draws; at most kMaxHeldBytes, wiped
  Multiplexer started_ = Multiplexer::kNone;  // by the last command
  bool soft_reset_ = false;                   // and nothing drawn since
  bool opening_ = false;                      // the alternate screen: nothing drawn on it yet
};

// All commands of a session: those that were typed, or the one that it was started with (exec). Stops at
// kMaxCommandsOfSession. An altered recording gives those before the damage, and the error.
Status find_commands(Reader& reader, const CommandFinder::Found& found);

}  // namespace mezite::recording
