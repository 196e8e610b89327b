#include "recording/search/screen.hh"

#include <algorithm>
#include <vector>

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxColumns = 1000;
constexpr std::size_t kMaxRows = 500;
constexpr char32_t kCharacter = Screen::kMarked - 1;

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

// "3;14" with empty and missing ones as 0; each at most 9999. Of "4:3" the first.
std::vector<std::size_t> numbers(std::string_view parameters) {
  std::vector<std::size_t> values(1, 0);
  bool detail = false;
  for (const char c : parameters) {
    detail = c == ':' || (detail && c != ';');
    if (c == ';') {
      values.push_back(0);
    } else if (c >= '0' && c <= '9' && !detail) {
      values.back() = std::min<std::size_t>(values.back() * 10 + static_cast<std::size_t>(c - '0'), 9999);
    }
  }
  return values;
}

// DEC's line drawing characters ` to ~, of which borders are made.
char32_t line_drawing(char32_t c) {
  constexpr std::u32string_view kDrawn =
      U"\u25c6\u2592\u2409\u240c\u240d\u240a\u00b0\u00b1\u2424\u240b\u2518\u2510\u250c\u2514\u253c"
      U"\u23ba\u23bb\u2500\u23bc\u23bd\u251c\u2524\u2534\u252c\u2502\u2264\u2265\u03c0\u2260\u00a3\u00b7";
  return c >= U'`' && c <= U'~' ? kDrawn[c - U'`'] : c;
}

}  // namespace

Screen::Screen(std::size_t columns, std::size_t rows, Watcher& watcher)
    : watcher_(watcher),
      parser_(*this),
      columns_(bounded(columns, 80, kMaxColumns)),
      rows_(bounded(rows, 24, kMaxRows)) {
  clear(false);
}

// What is drawn already stays where it is: programs draw anew what they want to have another width.
void Screen::resize(std::size_t columns, std::size_t rows) {
  columns_ = bounded(columns, 80, kMaxColumns);
  const std::size_t wanted = bounded(rows, 24, kMaxRows);
  leave_row();
  while (lines_.size() > wanted && row_ + 1 < lines_.size()) lines_.pop_back();
  while (lines_.size() > wanted) {
    lines_.pop_front();
    --row_;
  }
  while (lines_.size() < wanted) lines_.push_back(new_row());
  rows_ = wanted;
  column_ = std::min(column_, columns_ - 1);
  wrap_pending_ = false;
  set_region(0, rows_);
}

void Screen::clear(bool alternate) {
  lines_.clear();
  while (lines_.size() < rows_) lines_.push_back(new_row());
  row_ = column_ = 0;
  wrap_pending_ = insert_ = margins_ = reverse_ = background_ = drawing_[0] = drawing_[1] = false;
  shift_ = 0;
  set_region(0, rows_);
  alternate_ = alternate;
}

void Screen::set_region(std::size_t top, std::size_t bottom) {
  top_ = top;
  bottom_ = bottom;
  left_ = 0;
  right_ = columns_;
}

ScreenPlace Screen::line_start() const {
  std::size_t row = row_;
  while (row > 0 && lines_[row - 1].wrapped) --row;
  return {lines_[row].number, 0};
}

std::string Screen::text_from(ScreenPlace place) const {
  const auto found = row_of(place.line);
  if (!found) return {};
  std::string text;
  std::size_t column = place.column;
  for (std::size_t row = *found; row < lines_.size(); ++row) {
    const Row& line = lines_[row];
    for (; column < line.cells.size(); ++column) {
      if (const char32_t c = line.cells[column] & kCharacter; c != kNothing) encode(text, c);
    }
    if (!line.wrapped) break;
    column = 0;
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

std::optional<std::size_t> Screen::row_of(std::uint64_t line) const {
  const auto found = std::ranges::find(lines_, line, &Row::number);
  if (found == lines_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - lines_.begin());
}

char32_t Screen::cell(std::size_t row, std::size_t column) const {
  const std::u32string& cells = lines_[row].cells;
  return column < cells.size() ? cells[column] : U' ';
}

std::string Screen::text_in(std::size_t row, std::size_t left, std::size_t right) const {
  const std::u32string& cells = lines_[row].cells;
  std::string text;
  for (std::size_t column = left; column < std::min(right, cells.size()); ++column) {
    if (const char32_t c = cells[column] & kCharacter; c != kNothing) encode(text, c);
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

void Screen::character(std::string_view utf8) {
  watcher_.drawn(utf8);
  const char32_t c = drawing_[shift_] ? line_drawing(decode(utf8)) : decode(utf8);
  const std::size_t width = width_of(c);
  if (width > 0) put(c, width);
}

void Screen::put(char32_t c, std::size_t width) {
  if (wrap_pending_ || column_ + width > columns_) {
    lines_[row_].wrapped = true;
    column_ = 0;
    feed_line();
  }
  const char32_t mark = reverse_ || background_ ? kMarked : 0;
  wrap_pending_ = false;
  Row& row = lines_[row_];
  if (row.cells.size() < column_) row.cells.resize(column_, U' ');
  if (insert_) {
    row.cells.insert(column_, width, kNothing);
    if (row.cells.size() > columns_) row.cells.resize(columns_);
  }
  if (row.cells.size() < column_ + width) row.cells.resize(column_ + width, U' ');
  row.cells[column_] = (c & kCharacter) | mark;
  if (width == 2) row.cells[column_ + 1] = kNothing;
  column_ += width;
  if (column_ >= columns_) {
    column_ = columns_ - 1;
    wrap_pending_ = true;
  }
}

void Screen::feed_line() {
  leave_row();
  wrap_pending_ = false;
  if (row_ + 1 == bottom_) return scroll(top_, 1, Way::kUp);
  if (row_ + 1 < lines_.size()) ++row_;
}

void Screen::back_line() {
  leave_row();
  wrap_pending_ = false;
  if (row_ == top_) return scroll(top_, 1, Way::kDown);
  if (row_ > 0) --row_;
}

void Screen::scroll(std::size_t from, std::size_t count, Way way) {
  if (from < top_ || from >= bottom_) return;
  count = std::min(count, bottom_ - from);
  if (left_ == 0 && right_ >= columns_) {
    const auto at = [this](std::size_t row) { return lines_.begin() + static_cast<std::ptrdiff_t>(row); };
    if (count == 1) {  // what nearly all are, and at the edges of a deque it costs nothing
      lines_.erase(at(way == Way::kUp ? from : bottom_ - 1));
      lines_.insert(at(way == Way::kUp ? bottom_ - 1 : from), new_row());
      return;
    }
    std::rotate(at(from), at(way == Way::kUp ? from + count : bottom_ - count), at(bottom_));
    const std::size_t empty = way == Way::kUp ? bottom_ - count : from;
    for (std::size_t row = empty; row < empty + count; ++row) lines_[row] = new_row();
    return;
  }
  // Within margins the rows stay, and what stands in them moves.
  const auto copy = [this](std::size_t to, std::size_t source, bool blank) {
    for (std::size_t column = left_; column < right_; ++column) {
      Row& row = lines_[to];
      const char32_t c = blank ? U' ' : cell(source, column);
      if (row.cells.size() <= column) row.cells.resize(column + 1, U' ');
      row.cells[column] = c;
    }
  };
  for (std::size_t i = from; i < bottom_; ++i) {
    if (way == Way::kUp) copy(i, std::min(i + count, bottom_ - 1), i + count >= bottom_);
  }
  for (std::size_t i = bottom_; way == Way::kDown && i-- > from;) copy(i, i - std::min(i, count), i < from + count);
}

void Screen::erase(Row& row, std::size_t from, std::size_t to) {
  if (background_) {
    if (row.cells.size() < to) row.cells.resize(to, U' ');
    for (std::size_t i = from; i < to; ++i) row.cells[i] = U' ' | kMarked;
    return;
  }
  if (to >= row.cells.size()) {
    row.cells.resize(std::min(row.cells.size(), from));
    row.wrapped = false;
    return;
  }
  for (std::size_t i = from; i < to; ++i) row.cells[i] = U' ';
}

void Screen::move_to(std::size_t row, std::size_t column) {
  if (row != row_) leave_row();
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
  leave_row();
  // What the program drew is not kept apart from what was there before; nothing of it is looked at any more.
  clear(false);
  move_to(saved_row_, saved_column_);
}

void Screen::private_mode(std::size_t number, bool on) {
  if (number == 47 || number == 1047 || number == 1049) set_alternate(on);
  if (number == 69) {
    margins_ = on;
    left_ = 0;
    right_ = columns_;
  }
  watcher_.mode(number, on);
}

void Screen::rendition(const std::vector<std::size_t>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t value = values[i];
    if (value == 0) reverse_ = background_ = false;
    if (value == 7 || value == 27) reverse_ = value == 7;
    if ((value >= 40 && value <= 48) || (value >= 100 && value <= 107)) background_ = true;
    if (value == 49) background_ = false;
    // 38;5;N and 38;2;R;G;B: what follows is the colour.
    if ((value == 38 || value == 48 || value == 58) && i + 1 < values.size()) {
      i += values[i + 1] == 5 ? 2 : values[i + 1] == 2 ? 4 : 0;
    }
  }
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
    case '\x0e': shift_ = 1; break;
    case '\x0f': shift_ = 0; break;
    case '\t': column_ = std::min((column_ / 8 + 1) * 8, columns_ - 1); break;
    default: break;
  }
}

void Screen::escape(std::string_view intermediates, char final) {
  if (intermediates == "(" || intermediates == ")") drawing_[intermediates == "(" ? 0 : 1] = final == '0';
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
  if (intermediates == "!" && final == 'p') watcher_.soft_reset();
  if (!intermediates.empty()) return;
  if (parameters.starts_with('?')) {
    if (final != 'h' && final != 'l') return;
    for (const std::size_t mode : numbers(parameters.substr(1))) private_mode(mode, final == 'h');
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
        for (std::size_t i = row_ + 1; i < lines_.size(); ++i) erase(lines_[i], 0, columns_);
      } else if (first == 1) {
        for (std::size_t i = 0; i < row_; ++i) erase(lines_[i], 0, columns_);
        erase(row, 0, column_ + 1);
      } else {
        for (Row& line : lines_) erase(line, 0, columns_);
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
    case 'M':
      leave_row();
      scroll(row_, count, final == 'L' ? Way::kDown : Way::kUp);
      break;
    case 'S':
    case 'T':
      if (values.size() > 1) break;  // T: where the mouse is
      leave_row();
      scroll(top_, count, final == 'S' ? Way::kUp : Way::kDown);
      break;
    case 'm': rendition(values); break;
    case 'r': {
      const std::size_t bottom = bounded(values.size() > 1 ? values[1] : 0, rows_, rows_);
      if (count >= bottom) break;
      top_ = count - 1;
      bottom_ = bottom;
      move_to(0, 0);
      break;
    }
    case 'h':
    case 'l':
      if (first == 4) insert_ = final == 'h';
      break;
    case 's':
      if (margins_) {
        const std::size_t right = bounded(values.size() > 1 ? values[1] : 0, columns_, columns_);
        if (count >= right) break;
        left_ = count - 1;
        right_ = right;
        move_to(0, 0);
        break;
      }
      saved_row_ = row_;
      saved_column_ = column_;
      break;
    case 'u': move_to(saved_row_, saved_column_); break;
    default: break;
  }
}

}  // namespace mezite::recording
