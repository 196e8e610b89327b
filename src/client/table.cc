#include "client/table.hh"

#include <fmt/format.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.hh"

namespace mezite::client {
namespace {

// Code points of East Asian wide scripts and emoji; enough for columns, whatever the locale is.
bool is_wide(std::uint32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
         (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}
bool is_combining(std::uint32_t c) {
  return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff;
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t own = display_width(text);
  return own < width ? text + std::string(width - own, ' ') : text;
}

}  // namespace

Colour colour_of(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (no_color && *no_color) return Colour::kOff;
  if (!term || std::string_view(term) == "dumb") return Colour::kOff;
  return ::isatty(fd) == 1 ? Colour::kOn : Colour::kOff;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t c = size == 1 ? lead : lead & (0xffU >> (size + 1));
    for (std::size_t k = 1; k < size && i + k < text.size(); ++k) {
      c = c << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fU);
    }
    width += is_combining(c) ? 0 : is_wide(c) ? 2 : 1;
    i += size;
  }
  return width;
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(headings_.size());
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text(Colour colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < headings_.size(); ++column) {
    std::size_t width = display_width(headings_[column]);
    for (const auto& row : rows_) width = std::max(width, display_width(row[column]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells, std::string_view before, std::string_view after) {
    std::string text;
    for (std::size_t column = 0; column < cells.size(); ++column) {
      if (column > 0) text += "  ";
      text += padded(cells[column], widths[column]);
    }
    text.resize(text.find_last_not_of(' ') + 1);
    out += before;
    out += text;
    out += after;
    out += '\n';
  };
  if (colour == Colour::kOn) {
    line(headings_, "\x1b[1m", "\x1b[0m");
  } else {
    line(headings_, "", "");
  }
  for (const auto& row : rows_) line(row, "", "");
  return out;
}

void Fields::add(std::string_view name, std::string_view value) {
  fields_.emplace_back(std::string(name) + ":", printable(value));
}

std::string Fields::text() const {
  std::size_t width = 0;
  for (const auto& [name, value] : fields_) width = std::max(width, display_width(name));
  std::string out;
  for (const auto& [name, value] : fields_) {
    std::string text = padded(name, width) + "  " + value;
    text.resize(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

std::string relative_time(std::int64_t unix_ms, SystemTime now) {
  const std::int64_t seconds = (unix_ms - to_unix_millis(now)) / 1000;
  const std::int64_t size = seconds < 0 ? -seconds : seconds;
  std::string amount;
  if (size < 1) return "just now";
  if (size < 120) {
    amount = fmt::format("{}s", size);
  } else if (size < 7200) {
    amount = fmt::format("{}m", size / 60);
  } else if (size < 172800) {
    amount = fmt::format("{}h", size / 3600);
  } else {
    amount = fmt::format("{}d", size / 86400);
  }
  return seconds < 0 ? amount + " ago" : "in " + amount;
}

std::string shown_time(std::int64_t unix_ms, SystemTime now) {
  if (unix_ms == 0) return "never";
  std::string text = to_rfc3339(from_unix_millis(unix_ms));  // 2026-03-24T09:15:00.123Z
  if (text.size() >= 19) {
    text.resize(19);
    text[10] = ' ';
  }
  return fmt::format("{} UTC ({})", text, relative_time(unix_ms, now));
}

std::string shown_bytes(std::int64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (amount >= 1024 && unit + 1 < std::size(kUnits)) {
    amount /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", amount, kUnits[unit]);
}

}  // namespace mezite::client
