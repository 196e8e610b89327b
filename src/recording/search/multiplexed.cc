#include "recording/search/multiplexed.hh"

#include <algorithm>
#include <utility>

#include "base/secret.hh"
#include "base/text.hh"
#include "recording/search/commands.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxPending = 16;
constexpr std::size_t kMaxPrompts = 8;
constexpr std::size_t kMaxLooks = 2000;  // at a line that was left: then it has not come
constexpr std::size_t kMaxRowsOfLine = 64;
// To look at, for all lines together: a cell takes some nanoseconds, and what a program draws can ask for thousands of
// looks at the whole screen in a few kilobytes.
constexpr std::size_t kMostCells = 32'000'000;
constexpr std::size_t kCellsPerMillisecond = 4000;
constexpr std::chrono::milliseconds kEchoTime{250};
constexpr std::chrono::milliseconds kDrawTime{20};
constexpr std::chrono::milliseconds kAnswerTime{1000};

// What makes a line from here is none of it: a prompt at the right edge, or the line's own end.
bool begins_with_all_of(std::string_view shown, std::string_view typed) {
  return shown.starts_with(typed) && (shown.size() == typed.size() || shown.substr(typed.size()).starts_with("  "));
}

}  // namespace

MultiplexedLines::MultiplexedLines(const Screen& screen, Found found)
    : screen_(screen), found_(std::move(found)), cells_left_(kMostCells) {}

MultiplexedLines::Line::~Line() { wipe(typed); }

void MultiplexedLines::begin(Multiplexer multiplexer) {
  end();
  multiplexer_ = multiplexer;
}

void MultiplexedLines::end() {
  settle();
  typing_.reset();
  left_.clear();
  prefixed_ = false;
  multiplexer_ = Multiplexer::kNone;
}

void MultiplexedLines::stroke(Stroke stroke, std::chrono::milliseconds at) {
  at_ = at;
  if (!may_look(at)) return typing_.reset();
  switch (stroke.key) {
    case Key::kEnter: enter(); break;
    case Key::kAccept:
      typing().recalled = true;
      enter();
      break;
    case Key::kGiveUp: typing_.reset(); break;
    case Key::kText: text(stroke.c); break;
    default: {
      Line& line = typing();
      line.edited = true;
      line.edited_at = line.typed.size();
      line.recalled = line.recalled || stroke.key == Key::kRecall || stroke.key == Key::kSearch;
      line.searching = line.searching || stroke.key == Key::kSearch;
      break;
    }
  }
  prefixed_ = stroke.key == Key::kControl;
  last_key_at_ = at;
}

void MultiplexedLines::text(char c) {
  Line& line = typing();
  if (prefixed_) return;  // tmux's, or put into the line: the screen says
  // What has not come by now was none of the line: a key that the multiplexer or a program took.
  if (line.known && line.echoed < line.typed.size() && at_ - last_key_at_ >= kEchoTime) line.typed.resize(line.echoed);
  if (line.typed.size() >= kMaxCommandBytes) return;
  if (line.typed.empty()) line.typed.reserve(kMaxCommandBytes);  // so that no copy is left behind
  line.typed += c;
}

MultiplexedLines::Line& MultiplexedLines::typing() {
  if (typing_ && !(holds(*typing_) || follow(*typing_))) typing_.reset();
  if (typing_) return *typing_;
  // What stands behind a prompt now waits for none of those that were answered, or that nothing answers.
  typing_ = start_here();
  const bool prompt = typing_->known;
  std::erase_if(left_, [this, prompt](const Line& line) {
    return line.seen.empty() && ((prompt && line.answered) || at_ - line.left_at >= kAnswerTime);
  });
  if (std::ranges::any_of(left_, [this](const Line& line) { return line.left_at != at_; })) settle();
  // The one before has not come to the screen yet: where this one will stand is not known.
  typing_->known = prompt && left_.empty();
  return *typing_;
}

// The pane was drawn anew, and the line stands elsewhere now: behind the same prompt, at the cursor or above.
bool MultiplexedLines::follow(Line& line) {
  if (!line.known) return false;
  const std::size_t cursor_row = screen_.cursor_row();
  const Pane pane = pane_at(screen_, cursor_row, screen_.cursor().column);
  if (pane.left != line.pane.left) return false;
  for (std::size_t row = cursor_row; cursor_row - row < kMaxRowsOfLine; --row) {
    looked_at(line.start.column);
    if (screen_.text_in(row, pane.left, line.start.column) == line.prompt) {
      line.start.line = screen_.line_at(row);
      line.pane = pane;
      if (line_from(screen_, pane, row, line.start.column).starts_with(line.typed)) line.echoed = line.typed.size();
      return row != cursor_row || screen_.cursor().column >= line.start.column;
    }
    if (row == 0 || !goes_on(screen_, pane, row - 1)) break;
  }
  return false;
}

MultiplexedLines::Line MultiplexedLines::start_here() {
  Line line;
  line.start = screen_.cursor();
  const std::size_t row = screen_.cursor_row();
  line.pane = pane_at(screen_, row, line.start.column);
  line.prompt = screen_.text_in(row, line.pane.left, line.start.column);
  line.last = is_last_line(screen_, line.pane, row, multiplexer_);
  looked_at((screen_.rows() - row) * (line.pane.right - line.pane.left));
  line.known =
      line.last && is_prompt(line.prompt) && screen_.text_in(row, line.start.column, line.start.column + 1).empty();
  return line;
}

bool MultiplexedLines::holds(const Line& line) {
  const auto row = screen_.row_of(line.start.line);
  if (!row) return false;
  const std::size_t cursor_row = screen_.cursor_row(), column = screen_.cursor().column;
  if (!line.known) {
    // Keys that a multiplexer took are no part of what is typed at the prompt that it then shows.
    const Line here = start_here();
    return cursor_row == *row && !line.typed.empty() && (!here.known || here.prompt.ends_with(trim(line.typed)));
  }
  if (line.searching && cursor_row == *row) return true;
  if (cursor_row < *row || cursor_row - *row > kMaxRowsOfLine || column < line.pane.left) return false;
  if (column >= line.pane.right || (cursor_row == *row && column < line.start.column)) return false;
  // It came here from the rows above, as what was typed is long enough or they are full.
  const std::size_t typed_rows =
      (line.start.column - line.pane.left + line.typed.size()) / (line.pane.right - line.pane.left);
  for (std::size_t full = *row + typed_rows; full < cursor_row; ++full) {
    if (!goes_on(screen_, line.pane, full)) return false;
  }
  return screen_.text_in(*row, line.pane.left, line.start.column) == line.prompt;
}

void MultiplexedLines::drawn(std::string_view character) {
  for (Line& line : left_) line.answered = true;
  const auto echo = [this, character](Line& line) {
    if (!line.known || line.echoed >= line.typed.size()) return false;
    if (!std::string_view(line.typed).substr(line.echoed).starts_with(character)) return false;
    const auto row = screen_.row_of(line.start.line);
    const ScreenPlace cursor = screen_.cursor();
    if (!row || screen_.cursor_row() < *row || cursor.column < line.pane.left || cursor.column >= line.pane.right) {
      return false;
    }
    if (screen_.cursor_row() == *row && cursor.column < line.start.column) return false;
    line.echoed += character.size();
    return true;
  };
  if (std::ranges::any_of(left_, echo)) return;
  if (typing_) echo(*typing_);
}

// The line as it stands there, once all that was typed has come. None: not (yet) a command.
std::optional<std::string> MultiplexedLines::shown(const Line& line) {
  if (!line.known) return shown_behind_prompt(line);
  const auto row = screen_.row_of(line.start.line);
  if (!row || screen_.text_in(*row, line.pane.left, line.start.column) != line.prompt) return shown_behind_prompt(line);
  std::string text = line_from(screen_, line.pane, *row, line.start.column);
  looked_at(text.size());
  if (!line.edited && !line.recalled) {
    const std::string_view typed = trim(line.typed);
    if (!typed.empty() && begins_with_all_of(trim(text), typed)) return std::string(typed);
    return shown_behind_prompt(line);
  }
  // Of what was typed and taken back within an instant not all is drawn.
  const std::string_view last = std::string_view(line.typed).substr(std::min(line.edited_at, line.typed.size()));
  const bool has_echo = (line.echoed > 0 && line.echoed * 2 >= line.typed.size()) ||
                        (!last.empty() && text.find(last) != std::string::npos);
  if (line.typed.empty() ? !line.recalled : !has_echo) return std::nullopt;
  return text;
}

// In the row of the cursor, and those before it that go on in it.
std::optional<std::string> MultiplexedLines::shown_behind_prompt(const Line& line) {
  const std::string_view typed = trim(line.typed);
  if (typed.empty() || line.edited || line.recalled || !line.last) return std::nullopt;
  std::size_t row = screen_.cursor_row();
  const Pane pane = pane_at(screen_, row, std::min(screen_.cursor().column, screen_.columns() - 1));
  std::string text = screen_.text_in(row, pane.left, pane.right);
  for (std::size_t rows = 0; rows < kMaxRowsOfLine; ++rows) {
    looked_at(text.size());
    if (text.size() > typed.size() && text.ends_with(typed)) {
      const std::string_view before = trim(std::string_view(text).substr(0, text.size() - typed.size()));
      const auto same = [before](const std::string& prompt) { return trim(prompt) == before; };
      if ((line.known && same(line.prompt)) || std::ranges::any_of(prompts_, same)) return std::string(typed);
    }
    if (row-- == 0 || !goes_on(screen_, pane, row)) break;
    text.insert(0, full_row(screen_, pane, row, pane.left));
  }
  return std::nullopt;
}

void MultiplexedLines::enter() {
  Line& line = typing();
  if (line.typed.empty() && !line.recalled) return typing_.reset();
  line.left_at = at_;
  if (auto text = shown(line); text && !line.searching) {
    // Typed as it stands there: nothing will change it.
    if (!line.edited && !line.recalled) {
      remember(line.prompt);
      found_(at_, std::move(*text));
      return typing_.reset();
    }
    line.seen = std::move(*text);
  }
  if (left_.size() >= kMaxPending) left_.pop_front();
  left_.push_back(std::move(*typing_));
  typing_.reset();
}

bool MultiplexedLines::may_look(std::chrono::milliseconds now) {
  const auto since = static_cast<std::size_t>(std::max(now - looked_at_, std::chrono::milliseconds(0)).count());
  looked_at_ = now;
  cells_left_ = std::min(kMostCells, cells_left_ + std::min(since, kMostCells) * kCellsPerMillisecond);
  return cells_left_ > 0;
}

void MultiplexedLines::looked_at(std::size_t cells) {
  cells += screen_.columns();  // to find the pane
  cells_left_ -= std::min(cells_left_, cells);
}

void MultiplexedLines::leaving_row() {
  if (left_.empty() || !may_look(output_at_)) return;
  for (auto line = left_.begin(); line != left_.end();) {
    auto text = shown(*line);
    if (text) {
      remember(line->prompt);
      found_(line->left_at, std::move(*text));
    }
    line = text || ++line->looks > kMaxLooks ? left_.erase(line) : std::next(line);
  }
}

// Those that were edited, and that nothing was drawn for after Enter: as they stood then.
void MultiplexedLines::settle() {
  for (Line& line : left_) {
    if (line.seen.empty()) continue;
    remember(line.prompt);
    found_(line.left_at, std::move(line.seen));
  }
  std::erase_if(left_, [](const Line& line) { return line.seen.empty(); });
}

void MultiplexedLines::remember(std::string_view prompt) {
  if (prompt.empty() || !is_prompt(prompt) || std::ranges::find(prompts_, prompt) != prompts_.end()) return;
  if (prompts_.size() >= kMaxPrompts) prompts_.pop_front();
  prompts_.emplace_back(prompt);
}

}  // namespace mezite::recording
