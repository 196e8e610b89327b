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
constexpr std::size_t kTailBytes = 64 << 10;
constexpr std::chrono::milliseconds kEchoTime{250};

bool is_printable_key(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }

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
    : found_(std::move(found)), screen_(header.columns, header.rows, *this) {}

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
  const std::string text = joiner_.push(bytes);
  since_input_bytes_ += text.size();
  if (since_input_bytes_ > kFollowedBytes) return skim(text);
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
  if (screen_.alternate()) {
    lines_.clear();
    keys_ = Keys::kPlain;
    return;
  }
  for (const std::uint8_t byte : bytes) key(static_cast<char>(byte));
}

void CommandFinder::key(char c) {
  if (keys_ == Keys::kEscape) {
    keys_ = c == '[' || c == 'O' ? Keys::kSequence : Keys::kPlain;
    sequence_.clear();
    if (keys_ == Keys::kPlain && c != '\x1b') {  // M-b, M-d, M-.: words, and the last argument
      typing().edited = true;
      if (c == '.' || c == '_' || c == 'p' || c == 'n' || c == '<' || c == '>') lines_.back().recalled = true;
    }
    return;
  }
  if (keys_ == Keys::kSequence) {
    if (sequence_.size() < 16) sequence_ += c;
    if (c < 0x40 || c == 0x7f) return;
    keys_ = Keys::kPlain;
    if (sequence_ == "200~" || sequence_ == "201~") {
      pasting_ = sequence_ == "200~";
      return;
    }
    // Answers of the terminal are no keys: positions, attributes, focus.
    if (c == 'R' || c == 'c' || c == 'I' || c == 'n' || c == 'y' || c == 't') return;
    Line& line = typing();
    line.edited = true;
    if (c == 'A' || c == 'B' || c == '~') line.recalled = true;
    return;
  }
  switch (c) {
    case '\x1b': keys_ = Keys::kEscape; return;
    case '\r':
    case '\n':
      if (pasting_) {
        typing().edited = true;
        return;
      }
      leave(typing());
      return;
    case '\x03':  // ^C, ^Z and ^\ give the line up
    case '\x1a':
    case '\x1c': lines_.clear(); return;
    case '\t':
    case '\x10':  // ^P, ^N: history
    case '\x0e':
    case '\x12':  // ^R, ^S: search
    case '\x13':
    case '\x19': {  // ^Y: what was cut
      Line& line = typing();
      line.edited = line.recalled = true;
      return;
    }
    case '\x0f': {  // ^O: accepts the line, as Enter does, and recalls the next
      Line& line = typing();
      line.recalled = true;
      leave(line);
      return;
    }
    default: break;
  }
  Line& line = typing();
  if (!is_printable_key(c)) {
    line.edited = true;
    return;
  }
  if (line.typed.size() < kMaxCommandBytes) {
    if (line.typed.empty()) line.typed.reserve(kMaxCommandBytes);  // so that no copy is left behind
    line.typed += c;
  }
}

void CommandFinder::leave(Line& line) {
  line.left = true;
  line.left_at = at_;
  // An echo comes at once: it is made on the node.
  if (!line.typed.empty() && line.echoed == 0 && !line.ahead && at_ - line.began_at >= kEchoTime) line.mute = true;
}

// What appears is compared with what was typed and has not appeared yet, in order.
void CommandFinder::drawn(std::string_view character) {
  if (screen_.alternate()) return;
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
  if (!text.empty()) found_({at, std::move(text)});
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
