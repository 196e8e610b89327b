// A terminal as far as telling what stands on a line needs it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "recording/escape_parser.hh"

namespace mezite::recording {

// A place on the screen that stays with its line when the screen scrolls: lines are counted from the beginning.
struct ScreenPlace {
  std::uint64_t line = 0;
  std::size_t column = 0;
  auto operator<=>(const ScreenPlace&) const = default;
};

// Memory is bounded by the size, of which no more than 500 x 1000 is taken, and grows only with what is drawn. Hostile
// input is drawn somehow.
class Screen : private TerminalActions {
 public:
  // Told of what happens, while it happens.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void drawn(std::string_view character) = 0;
    virtual void line_feed() = 0;  // before the cursor moves
  };

  Screen(std::size_t columns, std::size_t rows, Watcher& watcher);
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void feed(std::string_view utf8) { parser_.feed(utf8); }
  void resize(std::size_t columns, std::size_t rows);
  // An empty screen with the cursor at home; whether the alternate one is on is said.
  void clear(bool alternate);

  bool alternate() const { return alternate_; }
  ScreenPlace cursor() const { return {first_line_ + row_, column_}; }
  // Where the logical line of the cursor begins: rows that were wrapped belong together.
  ScreenPlace line_start() const;
  // What stands from the place to the end of its logical line, blanks at the end left out. Empty when the place has
  // scrolled away or is beyond.
  std::string text_from(ScreenPlace place) const;

 private:
  struct Row {
    std::u32string cells;
    bool wrapped = false;  // goes on in the next row
  };

  void character(std::string_view utf8) override;
  void control(char c) override;
  void control_sequence(std::string_view parameters, std::string_view intermediates, char final) override;
  void escape(std::string_view intermediates, char final) override;
  void put(char32_t c, std::size_t width);
  void feed_line();
  void back_line();
  void erase(Row& row, std::size_t from, std::size_t to);
  void move_to(std::size_t row, std::size_t column);
  void set_alternate(bool on);

  Watcher& watcher_;
  EscapeParser parser_;
  std::size_t columns_, rows_;
  std::deque<Row> lines_;
  std::uint64_t first_line_ = 0;  // number of lines_[0]
  std::size_t row_ = 0, column_ = 0;
  bool wrap_pending_ = false;
  bool insert_ = false;
  bool alternate_ = false;
  std::size_t saved_row_ = 0, saved_column_ = 0;
};

}  // namespace mezite::recording
