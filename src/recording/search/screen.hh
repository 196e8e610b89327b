// A terminal as far as telling what stands on a line needs it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
    // On the alternate screen, before the cursor comes to another row, or rows move.
    virtual void leaving_row() {}
    virtual void mode(std::size_t /*number*/, bool /*on*/) {}  // a private mode (DECSET), after it took effect
    virtual void soft_reset() {}                               // DECSTR
  };
  // A cell: a character, kNothing for the second column of a wide one; kMarked is added where it is shown in reverse
  // or on a background of its own.
  static constexpr char32_t kNothing = 0;
  static constexpr char32_t kMarked = 1U << 24;

  Screen(std::size_t columns, std::size_t rows, Watcher& watcher);
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void feed(std::string_view utf8) { parser_.feed(utf8); }
  void resize(std::size_t columns, std::size_t rows);
  // An empty screen with the cursor at home; whether the alternate one is on is said.
  void clear(bool alternate);

  bool alternate() const { return alternate_; }
  ScreenPlace cursor() const { return {lines_[row_].number, column_}; }
  // Where the logical line of the cursor begins: rows that were wrapped belong together.
  ScreenPlace line_start() const;
  // What stands from the place to the end of its logical line, blanks at the end left out. Empty when the place has
  // scrolled away or is beyond.
  std::string text_from(ScreenPlace place) const;

  // For who looks at parts of the screen.
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t cursor_row() const { return row_; }
  bool at_right_edge() const { return wrap_pending_; }
  std::optional<std::size_t> row_of(std::uint64_t line) const;  // none when it has scrolled away
  std::uint64_t line_at(std::size_t row) const { return lines_[row].number; }
  char32_t cell(std::size_t row, std::size_t column) const;  // a blank where nothing was drawn
  // Of a row's columns [left, right), blanks at the end left out.
  std::string text_in(std::size_t row, std::size_t left, std::size_t right) const;

 private:
  struct Row {
    std::uint64_t number = 0;
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
  void private_mode(std::size_t number, bool on);
  void set_region(std::size_t top, std::size_t bottom);
  void rendition(const std::vector<std::size_t>& values);
  // Rows of the region from this one on move up or down, within the margins; what comes in is empty.
  enum class Way { kUp, kDown };
  void scroll(std::size_t from, std::size_t count, Way way);
  Row new_row() { return {.number = next_number_++, .cells = {}, .wrapped = false}; }
  void leave_row() {
    if (alternate_) watcher_.leaving_row();
  }

  Watcher& watcher_;
  EscapeParser parser_;
  std::size_t columns_, rows_;
  std::deque<Row> lines_;
  std::uint64_t next_number_ = 0;
  std::size_t top_ = 0, bottom_ = 0;  // the region that scrolls: rows [top_, bottom_)
  std::size_t left_ = 0, right_ = 0;  // … and its columns, where margins are on
  bool margins_ = false;
  bool reverse_ = false, background_ = false;
  bool drawing_[2] = {false, false};  // G0 and G1 hold the line drawing characters
  std::size_t shift_ = 0;             // which of them is in use
  std::size_t row_ = 0, column_ = 0;
  bool wrap_pending_ = false;
  bool insert_ = false;
  bool alternate_ = false;
  std::size_t saved_row_ = 0, saved_column_ = 0;
};

}  // namespace mezite::recording
