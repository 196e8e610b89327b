// What a command prints: tables for people, and values for people's eyes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"

namespace mezite::client {

enum class Colour { kOff, kOn };

// kOn when the descriptor is a terminal, NO_COLOR is not set and TERM is not "dumb".
Colour colour_of(int fd);

// Columns as wide as their widest cell, two blanks between them. Cells are made printable: a hostile name can neither
// move the cursor nor break a line.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}

  void add(std::vector<std::string> cells);  // missing cells are empty, surplus ones are dropped
  bool empty() const { return rows_.empty(); }

  // With a heading; ends with a line feed. Bold headings with colour.
  std::string text(Colour colour = Colour::kOff) const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

// "name:   value" lines, the values in one column; made printable.
class Fields {
 public:
  void add(std::string_view name, std::string_view value);
  std::string text() const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// Columns on a terminal that a printable UTF-8 text takes; combining marks 0, CJK and emoji 2.
std::size_t display_width(std::string_view text);

// "2026-03-24 09:15:00 UTC (5m ago)", "… (in 59m)"; "never" for 0.
std::string shown_time(std::int64_t unix_ms, SystemTime now);
// "just now", "5m ago", "in 3d".
std::string relative_time(std::int64_t unix_ms, SystemTime now);

// "12.3 MiB".
std::string shown_bytes(std::int64_t bytes);

// "env=prod, team=db".
template <class Map>
std::string shown_labels(const Map& labels) {
  std::vector<std::string> pieces;
  for (const auto& [key, value] : labels) pieces.push_back(key + "=" + value);
  std::string text;
  for (std::size_t i = 0; i < pieces.size(); ++i) text += (i > 0 ? ", " : "") + pieces[i];
  return text;
}

}  // namespace mezite::client
