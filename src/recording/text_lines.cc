#include "recording/text_lines.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxColumns = 4096;

}  // namespace

Status TextLines::feed(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t size = 1;
    while (at + size < text.size() && (static_cast<unsigned char>(text[at + size]) & 0xc0) == 0x80) ++size;
    MEZ_CHECK(character(text.substr(at, size)));
    at += size;
  }
  return {};
}
Status TextLines::character(std::string_view c) {
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

void TextLines::control_sequence(char final) {
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

std::size_t TextLines::number() const {
  std::size_t value = 0;
  for (const char c : parameters_) {
    if (c < '0' || c > '9') break;
    value = std::min<std::size_t>(value * 10 + static_cast<std::size_t>(c - '0'), kMaxColumns);
  }
  return value;
}

Status TextLines::put(std::string cell) {
  if (column_ >= kMaxColumns) MEZ_CHECK(new_line());
  if (line_.size() <= column_) line_.resize(column_ + 1, " ");
  line_[column_++] = std::move(cell);
  return {};
}

Status TextLines::new_line() {
  while (!line_.empty() && line_.back() == " ") line_.pop_back();
  std::string text;
  for (const std::string& cell : line_) text += cell;
  line_.clear();
  column_ = 0;
  return sink_(text);
}

}  // namespace mezite::recording
