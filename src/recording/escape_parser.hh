// Text and control functions apart: the state machine of ECMA-48 / the VT500 series that everything here shares which
// looks at what a terminal was sent.
#pragma once

#include <string>
#include <string_view>

namespace mezite::recording {

// Called with what was recognised. Views last for the call.
class TerminalActions {
 public:
  virtual ~TerminalActions() = default;
  virtual void character(std::string_view utf8) = 0;  // one that is shown
  virtual void control(char c) = 0;                   // C0: BEL, BS, LF …
  // "ESC [ parameters intermediates final"; private ones begin with one of < = > ? in parameters.
  virtual void control_sequence(std::string_view parameters, std::string_view intermediates, char final) = 0;
  virtual void escape(std::string_view intermediates, char final) = 0;  // "ESC ( B", "ESC 7"
  virtual void string_begun() {}                                        // OSC, DCS, SOS, PM, APC: not looked at
};

// Input is UTF-8. Memory is bounded: a sequence over 64 bytes is passed over, a string ends after 4 KiB at the latest,
// so that one that never ends does not swallow the session.
class EscapeParser {
 public:
  explicit EscapeParser(TerminalActions& actions) : actions_(actions) {}
  void feed(std::string_view utf8);

 private:
  enum class State { kText, kEscape, kSequence, kString, kStringEscape };
  void one(std::string_view character);
  void c1(unsigned char code);
  void begin_string();

  TerminalActions& actions_;
  State state_ = State::kText;
  std::string parameters_, intermediates_;
  bool overlong_ = false;
  std::size_t string_bytes_ = 0;
};

}  // namespace mezite::recording
