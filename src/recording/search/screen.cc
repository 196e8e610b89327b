#include "recording/search/screen.hh"

#include <algorithm>
#include <vector>

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxColumns = 1000;
constexpr std::size_t kMaxRows = 500;
constexpr char32_t kNothing = 0;  // the second column of a wide character

char32_t decode(std::string_view utf8) {
  const auto lead = static_cast<unsigned char>(utf8[0]);
  if (lead < 0x80) return lead;
  char32_t value = lead & (lead >= 0xf0 ? 0x07 : lead >= 0xe0 ? 0x0f : 0x1f);
  for (std::size_t i = 1; i < utf8.size(); ++i) value = value << 6 | (static_cast<unsigned char>(utf8[i]) & 0x3f);
  return value;
}

void encode(std::string& out, char32_t c) {
  const auto byte = [&out](char32_t value) { out += static_cast<char>(value); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xc0 | c >> 6);
    byte(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    byte(0xe0 | c >> 12);
    byte(0x80 | (c >> 6 & 0x3f));
    byte(0x80 | (c & 0x3f));
  } else {
    byte(0xf0 | c >> 18);
    byte(0x80 | (c >> 12 & 0x3f));
    byte(0x80 | (c >> 6 & 0x3f));
    byte(0x80 | (c & 0x3f));
  }
}

struct Range {
  char32_t first, last;
};
// Unicode's East Asian Width W and F in large blocks, and what takes no column.
constexpr Range kWide[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
                           {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}};
constexpr Range kZero[] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};

std::size_t width_of(char32_t c) {
  const auto in = [c](const Range& range) { return c >= range.first && c <= range.last; };
  if (std::ranges::any_of(kZero, in)) return 0;
  return std::ranges::any_of(kWide, in) ? 2 : 1;
}

std::size_t bounded(std::size_t value, std::size_t fallback, std::size_t most) {
  return value == 0 ? fallback : std::min(value, most);
}

// "3;14" with empty and missing ones as 0; each at most 9999.
std::vector<std::size_t> numbers(std::string_view parameters) {
  std::vector<std::size_t> values(1, 0);
  for (const char c : parameters) {
    if (c == ';') {
      values.push_back(0);
    } else if (c >= '0' && c <= '9') {
      values.back() = std::min<std::size_t>(values.back() * 10 + static_cast<std::size_t>(c - '0'), 9999);
    }
  }
  return values;
}

}  // namespace

Screen::Screen(std::size_t columns, std::size_t rows, Watcher& watcher)
    : watcher_(watcher),
      parser_(*this),
      columns_(bounded(columns, 80, kMaxColumns)),
      rows_(bounded(rows, 24, kMaxRows)),
      lines_(rows_) {}

// What is drawn already stays where it is: programs draw anew what they want to have another width.
void Screen::resize(std::size_t columns, std::size_t rows) {
  columns_ = bounded(columns, 80, kMaxColumns);
  const std::size_t wanted = bounded(rows, 24, kMaxRows);
  while (lines_.size() > wanted && row_ + 1 < lines_.size()) lines_.pop_back();
  while (lines_.size() > wanted) {
    lines_.pop_front();
    ++first_line_;
    --row_;
  }
  lines_.resize(wanted);
  rows_ = wanted;
  column_ = std::min(column_, columns_ - 1);
  wrap_pending_ = false;
}

void Screen::clear(bool alternate) {
  first_line_ += lines_.size();
  lines_.assign(rows_, {});
  row_ = column_ = 0;
  wrap_pending_ = insert_ = false;
  alternate_ = alternate;
}

ScreenPlace Screen::line_start() const {
  std::size_t row = row_;
  while (row > 0 && lines_[row - 1].wrapped) --row;
  return {first_line_ + row, 0};
}

std::string Screen::text_from(ScreenPlace place) const {
  if (place.line < first_line_ || place.line >= first_line_ + lines_.size()) return {};
  std::string text;
  std::size_t column = place.column;
  for (auto row = static_cast<std::size_t>(place.line - first_line_); row < lines_.size(); ++row) {
    const Row& line = lines_[row];
    for (; column < line.cells.size(); ++column) {
      if (line.cells[column] != kNothing) encode(text, line.cells[column]);
    }
    if (!line.wrapped) break;
    column = 0;
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

void Screen::character(std::string_view utf8) {
  watcher_.drawn(utf8);
  const char32_t c = decode(utf8);
  const std::size_t width = width_of(c);
  if (width > 0) put(c, width);
}

void Screen::put(char32_t c, std::size_t width) {
  if (wrap_pending_ || column_ + width > columns_) {
    lines_[row_].wrapped = true;
    column_ = 0;
    feed_line();
  }
  wrap_pending_ = false;
  Row& row = lines_[row_];
  if (row.cells.size() < column_) row.cells.resize(column_, U' ');
  if (insert_) {
    row.cells.insert(column_, width, kNothing);
    if (row.cells.size() > columns_) row.cells.resize(columns_);
  }
  if (row.cells.size() < column_ + width) row.cells.resize(column_ + width, U' ');
  row.cells[column_] = c;
  if (width == 2) row.cells[column_ + 1] = kNothing;
  column_ += width;
  if (column_ >= columns_) {
    column_ = columns_ - 1;
    wrap_pending_ = true;
  }
}

void Screen::feed_line() {
  wrap_pending_ = false;
  if (row_ + 1 < lines_.size()) {
    ++row_;
    return;
  }
  lines_.pop_front();
  lines_.emplace_back();
  ++first_line_;
}

void Screen::back_line() {
  wrap_pending_ = false;
  if (row_ > 0) {
    --row_;
    return;
  }
  // Scrolls down: what was there keeps no number that means anything.
  lines_.pop_back();
  lines_.emplace_front();
}

void Screen::erase(Row& row, std::size_t from, std::size_t to) {
  if (to >= row.cells.size()) {
    row.cells.resize(std::min(row.cells.size(), from));
    row.wrapped = false;
    return;
  }
  for (std::size_t i = from; i < to; ++i) row.cells[i] = U' ';
}

void Screen::move_to(std::size_t row, std::size_t column) {
  row_ = std::min(row, rows_ - 1);
  column_ = std::min(column, columns_ - 1);
  wrap_pending_ = false;
}

void Screen::set_alternate(bool on) {
  if (on == alternate_) return;
  if (on) {
    saved_row_ = row_;
    saved_column_ = column_;
    alternate_ = true;
    return;
  }
  alternate_ = false;
  // What the program drew is not kept apart from what was there before; nothing of it is looked at any more.
  clear(false);
  move_to(saved_row_, saved_column_);
}

void Screen::control(char c) {
  switch (c) {
    case '\n':
    case '\v':
    case '\f':
      watcher_.line_feed();
      lines_[row_].wrapped = false;
      feed_line();
      break;
    case '\r':
      column_ = 0;
      wrap_pending_ = false;
      break;
    case '\b':
      if (!wrap_pending_ && column_ > 0) --column_;
      wrap_pending_ = false;
      break;
    case '\t': column_ = std::min((column_ / 8 + 1) * 8, columns_ - 1); break;
    default: break;
  }
}

void Screen::escape(std::string_view intermediates, char final) {
  if (!intermediates.empty()) return;
  switch (final) {
    case '7':
      saved_row_ = row_;
      saved_column_ = column_;
      break;
    case '8': move_to(saved_row_, saved_column_); break;
    case 'D': feed_line(); break;
    case 'E':
      column_ = 0;
      feed_line();
      break;
    case 'M': back_line(); break;
    case 'c': clear(false); break;
    default: break;
  }
}

void Screen::control_sequence(std::string_view parameters, std::string_view intermediates, char final) {
  if (!intermediates.empty()) return;
  if (parameters.starts_with('?')) {
    if (final != 'h' && final != 'l') return;
    for (const std::size_t mode : numbers(parameters.substr(1))) {
      if (mode == 47 || mode == 1047 || mode == 1049) set_alternate(final == 'h');
    }
    return;
  }
  if (!parameters.empty() && parameters[0] >= '<') return;
  const auto values = numbers(parameters);
  const std::size_t first = values[0];
  const std::size_t count = std::max<std::size_t>(first, 1);
  Row& row = lines_[row_];
  switch (final) {
    case 'A': move_to(row_ - std::min(row_, count), column_); break;
    case 'B': move_to(row_ + count, column_); break;
    case 'C': move_to(row_, column_ + count); break;
    case 'D': move_to(row_, column_ - std::min(column_, count)); break;
    case 'E': move_to(row_ + count, 0); break;
    case 'F': move_to(row_ - std::min(row_, count), 0); break;
    case 'G':
    case '`': move_to(row_, count - 1); break;
    case 'd': move_to(count - 1, column_); break;
    case 'H':
    case 'f': move_to(count - 1, std::max<std::size_t>(values.size() > 1 ? values[1] : 1, 1) - 1); break;
    case 'J':
      if (first == 0) {
        erase(row, column_, columns_);
        for (std::size_t i = row_ + 1; i < lines_.size(); ++i) lines_[i] = {};
      } else if (first == 1) {
        for (std::size_t i = 0; i < row_; ++i) lines_[i] = {};
        erase(row, 0, column_ + 1);
      } else {
        for (Row& line : lines_) line = {};
      }
      break;
    case 'K':
      if (first == 0) erase(row, column_, columns_);
      if (first == 1) erase(row, 0, column_ + 1);
      if (first == 2) erase(row, 0, columns_);
      break;
    case 'P':
      if (column_ < row.cells.size()) row.cells.erase(column_, count);
      break;
    case 'X': erase(row, column_, std::min(column_ + count, columns_)); break;
    case '@':
      if (column_ < row.cells.size()) {
        row.cells.insert(column_, std::min(count, columns_), U' ');
        if (row.cells.size() > columns_) row.cells.resize(columns_);
      }
      break;
    case 'L':
    case 'M': {
      const auto at = lines_.begin() + static_cast<std::ptrdiff_t>(row_);
      const auto many = static_cast<std::ptrdiff_t>(std::min(count, lines_.size() - row_));
      if (final == 'L') {
        std::move_backward(at, lines_.end() - many, lines_.end());
        std::fill(at, at + many, Row());
      } else {
        std::move(at + many, lines_.end(), at);
        std::fill(lines_.end() - many, lines_.end(), Row());
      }
      break;
    }
    case 'S':
      for (std::size_t i = 0; i < std::min(count, lines_.size()); ++i) {
        lines_.pop_front();
        lines_.emplace_back();
      }
      break;
    case 'h':
    case 'l':
      if (first == 4) insert_ = final == 'h';
      break;
    case 's':
      saved_row_ = row_;
      saved_column_ = column_;
      break;
    case 'u': move_to(saved_row_, saved_column_); break;
    default: break;
  }
}

}  // namespace mezite::recording
