// What a terminal showed, as plain lines.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::recording {

// A terminal of one line: enough for prompts that are edited, progress bars and colours. Escape sequences are removed,
// control characters made printable; a line has at most 4096 columns.
class TextLines {
 public:
  // Gets each line when it is whole, without its line feed.
  using LineSink = std::function<Status(std::string_view line)>;
  explicit TextLines(LineSink sink) : sink_(std::move(sink)) {}

  // UTF-8.
  Status feed(std::string_view text);
  // What stands on a line that was not ended.
  Status finish() { return line_.empty() ? Status{} : new_line(); }

 private:
  enum class Mode { kText, kEscape, kCsi, kString, kStringEscape, kCharset };
  Status character(std::string_view c);
  void control_sequence(char final);
  std::size_t number() const;
  Status put(std::string cell);
  Status new_line();

  LineSink sink_;
  Mode mode_ = Mode::kText;
  std::string parameters_;
  std::vector<std::string> line_;  // a printable text for each column
  std::size_t column_ = 0;
};

}  // namespace mezite::recording
