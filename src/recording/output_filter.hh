// What of a recording may reach the terminal of whoever looks at it.
#pragma once

#include <string>
#include <string_view>

#include "recording/escape_parser.hh"

namespace mezite::recording {

// Lets through what draws: text, colours, cursor movement, the alternate screen. Keeps back what makes a terminal
// answer (an answer would be read as if it was typed: CVE-2003-0063 and its kin), and what reaches beyond the screen:
// clipboard, titles, palette, printer, keyboard and mouse modes, size.
class OutputFilter : private TerminalActions {
 public:
  OutputFilter() : parser_(*this) {}
  OutputFilter(const OutputFilter&) = delete;
  OutputFilter& operator=(const OutputFilter&) = delete;

  // Input is UTF-8. Sequences come out whole or not at all.
  std::string push(std::string_view utf8);
  // Brings the terminal back to how it is outside of a recording.
  std::string restore() const;

 private:
  void character(std::string_view utf8) override { out_ += utf8; }
  void control(char c) override;
  void control_sequence(std::string_view parameters, std::string_view intermediates, char final) override;
  void escape(std::string_view intermediates, char final) override;
  void modes(std::string_view list, char final, bool is_private);

  EscapeParser parser_;
  std::string out_;
  bool alternate_ = false;  // the alternate screen is on
};

}  // namespace mezite::recording
