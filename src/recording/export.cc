#include "recording/export.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/text.hh"

namespace mezite::recording {
namespace {

// Gives back whole characters: what a read cut in two waits for its rest. Bytes that are not UTF-8 become U+FFFD.
class Utf8Joiner {
 public:
  std::string push(BytesView bytes) {
    rest_.append(as_text(bytes));
    std::string whole;
    std::size_t at = 0;
    while (at < rest_.size()) {
      const std::size_t size = length(static_cast<unsigned char>(rest_[at]));
      if (size == 1) {
        whole += static_cast<unsigned char>(rest_[at]) < 0x80 ? std::string(1, rest_[at]) : "\xef\xbf\xbd";
        ++at;
        continue;
      }
      // A character that can't become valid any more is not waited for.
      std::size_t present = 1;
      while (present < size && at + present < rest_.size() &&
             (static_cast<unsigned char>(rest_[at + present]) & 0xc0) == 0x80) {
        ++present;
      }
      if (present < size && at + present == rest_.size()) break;
      const std::string_view character(rest_.data() + at, present);
      whole += present == size && is_valid_utf8(character) ? character : "\xef\xbf\xbd";
      at += present;
    }
    rest_.erase(0, at);
    return whole;
  }
  // At the end: what never got its rest.
  std::string finish() {
    const bool cut = !rest_.empty();
    rest_.clear();
    return cut ? "\xef\xbf\xbd" : "";
  }

 private:
  static std::size_t length(unsigned char lead) {
    if (lead >= 0xc2 && lead <= 0xdf) return 2;
    if (lead >= 0xe0 && lead <= 0xef) return 3;
    if (lead >= 0xf0 && lead <= 0xf4) return 4;
    return 1;
  }
  std::string rest_;
};

// A command without a PTY writes bare line feeds; a terminal needs the carriage return that the PTY would have added.
std::string with_carriage_returns(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

bool is_output(EventKind kind) {
  return kind == EventKind::kOutput || kind == EventKind::kStdout || kind == EventKind::kStderr;
}

std::string asciicast_event(std::chrono::milliseconds at, char code, std::string_view data) {
  return fmt::format("[{}.{:03}, \"{}\", {}]\n", at.count() / 1000, at.count() % 1000, code, json_quote(data));
}

// A terminal of one line: enough for prompts that are edited, progress bars and colours.
class LineScreen {
 public:
  explicit LineScreen(const Sink& sink) : sink_(sink) {}

  Status feed(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t size = 1;
      while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xc0) == 0x80) ++size;
      MEZ_CHECK(character(text.substr(at, size)));
      at += size;
    }
    return {};
  }
  Status finish() { return line_.empty() ? Status{} : new_line(); }

 private:
  enum class Mode { kText, kEscape, kCsi, kString, kStringEscape, kCharset };
  static constexpr std::size_t kMaxColumns = 4096;

  Status character(std::string_view c) {
    const auto byte = static_cast<unsigned char>(c.front());
    switch (mode_) {
      case Mode::kEscape:
        mode_ = Mode::kText;
        if (byte == '[') {
          mode_ = Mode::kCsi;
          parameters_.clear();
        } else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') {
          mode_ = Mode::kString;  // OSC, DCS, SOS, PM, APC
        } else if (byte == '(' || byte == ')' || byte == '*' || byte == '+' || byte == '#' || byte == '%' ||
                   byte == ' ') {
          mode_ = Mode::kCharset;
        }
        return {};
      case Mode::kCharset: mode_ = Mode::kText; return {};
      case Mode::kCsi:
        if (byte == 0x1b) {
          mode_ = Mode::kEscape;
        } else if (byte >= 0x40 && byte <= 0x7e) {
          mode_ = Mode::kText;
          control_sequence(static_cast<char>(byte));
        } else if (parameters_.size() < 16) {
          parameters_ += static_cast<char>(byte);
        }
        return {};
      case Mode::kString:
        if (byte == 0x07) mode_ = Mode::kText;
        if (byte == 0x1b) mode_ = Mode::kStringEscape;
        if (byte == '\n') {  // an unfinished one must not swallow the rest of the session
          mode_ = Mode::kText;
          return new_line();
        }
        return {};
      case Mode::kStringEscape: mode_ = byte == '\\' ? Mode::kText : Mode::kString; return {};
      case Mode::kText: break;
    }
    if (byte == 0x1b) {
      mode_ = Mode::kEscape;
    } else if (byte == '\n') {
      return new_line();
    } else if (byte == '\r') {
      column_ = 0;
    } else if (byte == '\b') {
      if (column_ > 0) --column_;
    } else if (byte == '\t') {
      do MEZ_CHECK(put(" "));
      while (column_ % 8 != 0);
    } else if (byte >= 0x20 && byte != 0x7f) {
      return put(printable(c));
    } else if (byte != 0x07 && byte != 0 && byte != 0x0e && byte != 0x0f) {
      return put(printable(c));
    }
    return {};
  }

  void control_sequence(char final) {
    const std::size_t count = parameters_.empty() ? 1 : std::min<std::size_t>(number(), kMaxColumns);
    if (final == 'K' && (parameters_.empty() || parameters_ == "0")) {
      line_.resize(std::min(line_.size(), column_));
    } else if (final == 'K' && parameters_ == "2") {
      line_.clear();
    } else if (final == 'P') {  // delete characters
      const std::size_t end = std::min(line_.size(), column_ + count);
      if (column_ < end) {
        line_.erase(line_.begin() + static_cast<std::ptrdiff_t>(column_),
                    line_.begin() + static_cast<std::ptrdiff_t>(end));
      }
    } else if (final == '@') {  // insert blanks
      const std::size_t room = kMaxColumns - std::min(line_.size(), kMaxColumns);
      if (column_ <= line_.size()) {
        line_.insert(line_.begin() + static_cast<std::ptrdiff_t>(column_), std::min(count, room), " ");
      }
    } else if (final == 'D') {
      column_ -= std::min(column_, count);
    } else if (final == 'C') {
      column_ = std::min(column_ + count, kMaxColumns - 1);
    } else if (final == 'G') {
      column_ = std::min(count > 0 ? count - 1 : 0, kMaxColumns - 1);
    }
  }

  std::size_t number() const {
    std::size_t value = 0;
    for (const char c : parameters_) {
      if (c < '0' || c > '9') break;
      value = std::min<std::size_t>(value * 10 + static_cast<std::size_t>(c - '0'), kMaxColumns);
    }
    return value;
  }

  Status put(std::string cell) {
    if (column_ >= kMaxColumns) MEZ_CHECK(new_line());
    if (line_.size() <= column_) line_.resize(column_ + 1, " ");
    line_[column_++] = std::move(cell);
    return {};
  }

  Status new_line() {
    while (!line_.empty() && line_.back() == " ") line_.pop_back();
    std::string text;
    for (const std::string& cell : line_) text += cell;
    text += '\n';
    line_.clear();
    column_ = 0;
    return sink_(text);
  }

  const Sink& sink_;
  Mode mode_ = Mode::kText;
  std::string parameters_;
  std::vector<std::string> line_;  // a printable text for each column
  std::size_t column_ = 0;
};

}  // namespace

Status export_asciicast(Reader& reader, InputEvents input, const Sink& sink) {
  const Header& header = reader.header();
  const std::string title =
      fmt::format("{}@{}{}{}", header.login, header.node, header.command.empty() ? "" : ": ", header.command);
  MEZ_CHECK(
      sink(fmt::format("{{\"version\": 2, \"width\": {}, \"height\": {}, \"timestamp\": {}, \"title\": {}, "
                       "\"env\": {{\"TERM\": \"xterm-256color\"}}}}\n",
                       header.columns > 0 ? header.columns : 80, header.rows > 0 ? header.rows : 24,
                       to_unix_seconds(header.started_at), json_quote(title))));
  std::array<Utf8Joiner, 8> joiners;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) return {};
    if (event->kind == EventKind::kResize) {
      const std::string size = fmt::format("{}x{}", event->columns, event->rows);
      MEZ_CHECK(sink(asciicast_event(event->at, 'r', size)));
      continue;
    }
    const bool output = is_output(event->kind);
    if (event->kind == EventKind::kEnd || (!output && input == InputEvents::kLeaveOut)) continue;
    std::string text = joiners[static_cast<std::size_t>(event->kind)].push(event->data);
    if (text.empty()) continue;
    if (event->kind == EventKind::kStdout || event->kind == EventKind::kStderr) text = with_carriage_returns(text);
    MEZ_CHECK(sink(asciicast_event(event->at, output ? 'o' : 'i', text)));
  }
}

Status export_text(Reader& reader, const Sink& sink) {
  LineScreen screen(sink);
  std::array<Utf8Joiner, 8> joiners;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    if (is_output(event->kind)) {
      MEZ_CHECK(screen.feed(joiners[static_cast<std::size_t>(event->kind)].push(event->data)));
    }
  }
  for (Utf8Joiner& joiner : joiners) MEZ_CHECK(screen.feed(joiner.finish()));
  return screen.finish();
}

}  // namespace mezite::recording
