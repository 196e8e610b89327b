#include "recording/search/commands.hh"

#include <algorithm>
#include <array>

#include "base/secret.hh"
#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxPending = 64;
// After something was typed this much output is followed closely; of what comes after it only the end is looked at,
// when something is typed again. A program's megabytes of output cost next to nothing so.
constexpr std::size_t kFollowedBytes = 64 << 10;
// A multiplexer goes on drawing other panes while nobody types, and the one at whose prompt somebody stands is not
// drawn again.
constexpr std::size_t kFollowedMultiplexedBytes = 4 << 20;
constexpr std::size_t kTailBytes = 64 << 10;
constexpr std::chrono::milliseconds kEchoTime{250};
// As long a hidden cursor tells of drawing; longer, of a program that shows none.
constexpr std::chrono::milliseconds kDrawingTime{250};
constexpr std::size_t kMaxHeldBytes = 4096;

// Without control characters, blanks at both ends and what is beyond the limit.
std::string clean(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  if (out.size() > kMaxCommandBytes) {
    std::size_t end = kMaxCommandBytes;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
    out.resize(end);
  }
  return out;
}

}  // namespace

CommandFinder::Line::~Line() { wipe(typed); }

CommandFinder::CommandFinder(const Header& header, Found found)
    : found_(std::move(found)),
      screen_(header.columns, header.rows, *this),
      multiplexed_(screen_, [this](std::chrono::milliseconds at, std::string text) { report(at, std::move(text)); }),
      started_(multiplexer_in(header.command)) {}

CommandFinder::~CommandFinder() { wipe(held_); }

void CommandFinder::take(const Event& event) {
  at_ = event.at;
  switch (event.kind) {
    case EventKind::kInput: input(event.data); break;
    case EventKind::kOutput: output(event.data); break;
    case EventKind::kResize: screen_.resize(event.columns, event.rows); break;
    default: break;
  }
}

void CommandFinder::output(BytesView bytes) {
  if (!is_drawing()) release();
  const std::string text = joiner_.push(bytes);
  since_input_bytes_ += text.size();
  multiplexed_.output_comes(at_);
  const bool multiplexed = multiplexed_.multiplexer() != Multiplexer::kNone;
  if (since_input_bytes_ > (multiplexed ? kFollowedMultiplexedBytes : kFollowedBytes)) return skim(text);
  screen_.feed(text);
}

void CommandFinder::skim(std::string_view text) {
  if (tail_.empty()) tail_alternate_ = screen_.alternate();
  tail_ += text;
  if (tail_.size() <= 2 * kTailBytes) return;
  const std::size_t cut = tail_.size() - kTailBytes;
  // Whether the alternate screen is on where the rest begins.
  for (const std::string_view mode : {"\x1b[?1049", "\x1b[?1047", "\x1b[?47"}) {
    const std::size_t last = tail_.rfind(mode, cut);
    if (last == std::string::npos || last + mode.size() >= tail_.size()) continue;
    const char final = tail_[last + mode.size()];
    if (final == 'h' || final == 'l') tail_alternate_ = final == 'h';
  }
  tail_.erase(0, cut);
}

// The screen as it is now, after output that was only skimmed.
void CommandFinder::wake() {
  since_input_bytes_ = 0;
  if (tail_.empty()) return;
  lines_.clear();
  if (!tail_alternate_) multiplexed_.end();
  screen_.clear(tail_alternate_);
  std::string tail = std::exchange(tail_, {});
  const std::size_t line = tail.find('\n');
  screen_.feed(std::string_view(tail).substr(line == std::string::npos ? 0 : line + 1));
}

CommandFinder::Line& CommandFinder::typing() {
  // A program that was given Enter and went on without a new line has taken it.
  if (!lines_.empty() && lines_.back().left) std::erase_if(lines_, [](const Line& line) { return line.answered; });
  if (lines_.empty() || lines_.back().left) {
    if (lines_.size() >= kMaxPending) lines_.pop_front();
    Line line;
    line.ahead = !lines_.empty();  // the one before has not come to its end
    line.start = screen_.cursor();
    line.began_at = at_;
    lines_.push_back(std::move(line));
  }
  return lines_.back();
}

void CommandFinder::input(BytesView bytes) {
  wake();
  if (screen_.alternate()) lines_.clear();
  if (is_drawing() && held_.size() + bytes.size() <= kMaxHeldBytes) {
    held_.reserve(kMaxHeldBytes);  // so that no copy is left behind
    held_ += as_text(bytes);
    return;
  }
  release();
  press(as_text(bytes));
}

// A multiplexer hides the cursor while it draws. Keys that come meanwhile are for what stands there then.
bool CommandFinder::is_drawing() const {
  return multiplexed_.multiplexer() != Multiplexer::kNone && cursor_hidden_at_ &&
         at_ - *cursor_hidden_at_ < kDrawingTime;
}

void CommandFinder::release() {
  if (held_.empty()) return;
  std::string keys = std::exchange(held_, {});
  press(keys);
  wipe(keys);
}

void CommandFinder::press(std::string_view keys) {
  for (const char key : keys) {
    const auto pressed = keys_.next(key);
    if (!pressed) continue;
    if (!screen_.alternate()) {
      stroke(*pressed);
    } else if (multiplexed_.multiplexer() != Multiplexer::kNone) {
      multiplexed_.stroke(*pressed, at_);
    }
  }
}

void CommandFinder::stroke(Stroke stroke) {
  if (stroke.key == Key::kGiveUp) return lines_.clear();
  Line& line = typing();
  switch (stroke.key) {
    case Key::kGiveUp: break;
    case Key::kAccept: line.recalled = true; [[fallthrough]];
    case Key::kEnter: leave(line); break;
    case Key::kRecall:
    case Key::kSearch: line.recalled = true; [[fallthrough]];
    case Key::kEdit:
    case Key::kControl: line.edited = true; break;
    case Key::kText:
      if (line.typed.size() >= kMaxCommandBytes) break;
      if (line.typed.empty()) line.typed.reserve(kMaxCommandBytes);  // so that no copy is left behind
      line.typed += stroke.c;
      break;
  }
}

// Who takes the alternate screen: what was started last, or what tmux (which turns off every way of telling of the
// mouse, the one in UTF-8 included) and GNU screen (which resets the terminal first) say themselves.
void CommandFinder::mode(std::size_t number, bool on) {
  constexpr std::size_t kCursor = 25;
  constexpr std::size_t kMouseInUtf8 = 1005;
  if (number == kCursor) {
    cursor_hidden_at_ = on ? std::nullopt : std::optional(at_);
    if (on) release();
  }
  if (number == 47 || number == 1047 || number == 1049) {
    if (!on) return multiplexed_.end();
    opening_ = true;
    const Multiplexer said = soft_reset_ ? Multiplexer::kScreen : started_;
    if (said != Multiplexer::kNone && multiplexed_.multiplexer() == Multiplexer::kNone) multiplexed_.begin(said);
  }
  if (number == kMouseInUtf8 && !on && opening_ && screen_.alternate()) multiplexed_.begin(Multiplexer::kTmux);
}

void CommandFinder::leave(Line& line) {
  line.left = true;
  line.left_at = at_;
  // An echo comes at once: it is made on the node.
  if (!line.typed.empty() && line.echoed == 0 && !line.ahead && at_ - line.began_at >= kEchoTime) line.mute = true;
}

// What appears is compared with what was typed and has not appeared yet, in order.
void CommandFinder::drawn(std::string_view character) {
  soft_reset_ = opening_ = false;
  if (screen_.alternate()) return multiplexed_.drawn(character);
  for (Line& line : lines_) line.answered = line.answered || line.left;
  for (Line& line : lines_) {
    if (line.ahead || line.mute || line.echoed >= line.typed.size()) continue;
    const std::string_view expected = std::string_view(line.typed).substr(line.echoed);
    if (expected.starts_with(character)) {
      line.echoed += character.size();
    } else if (line.left && line.echoed == 0 && !line.recalled) {
      line.mute = true;
    }
    return;
  }
}

void CommandFinder::line_feed() {
  if (screen_.alternate() || lines_.empty() || !lines_.front().left) return;
  Line& line = lines_.front();
  if (line.ahead) {
    // It stands where the program put it: the screen must end in it as it was typed.
    const std::string shown = screen_.text_from(screen_.line_start());
    const std::string_view typed = trim(line.typed);
    if (typed.empty() || line.edited || line.recalled) {
      lines_.pop_front();
    } else if (shown.size() > typed.size() && shown.ends_with(typed)) {
      report(line.left_at, std::string(typed));
      lines_.pop_front();
    }
    return;
  }
  finish(line);
  lines_.pop_front();
}

void CommandFinder::finish(Line& line) {
  const bool has_echo = line.echoed > 0 && line.echoed * 2 >= line.typed.size();
  if (line.mute || (!line.typed.empty() && !has_echo) || (line.typed.empty() && !line.recalled)) return;
  std::string shown = screen_.text_from(line.start);
  // A prompt at the right edge is none of it.
  if (!line.edited && !line.recalled && shown.starts_with(line.typed) &&
      std::string_view(shown).substr(line.typed.size()).starts_with("  ")) {
    shown.resize(line.typed.size());
  }
  report(line.left_at, std::move(shown));
}

void CommandFinder::report(std::chrono::milliseconds at, std::string text) {
  text = clean(text);
  if (text.empty()) return;
  started_ = multiplexer_in(text);
  found_({at, std::move(text)});
}

Status find_commands(Reader& reader, const CommandFinder::Found& found) {
  const Header& header = reader.header();
  std::size_t count = 0;
  const auto take = [&count, &found](Command command) {
    if (count++ < kMaxCommandsOfSession) found(std::move(command));
  };
  if (!header.command.empty()) {
    if (std::string text = clean(header.command); !text.empty()) take({std::chrono::milliseconds(0), std::move(text)});
  }
  if (header.kind != SessionKind::kPty) return {};
  CommandFinder finder(header, take);
  while (count < kMaxCommandsOfSession) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    finder.take(*event);
  }
  return {};
}

}  // namespace mezite::recording
