// What somebody at a terminal pressed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mezite::recording {

enum class Key : std::uint8_t {
  kText,     // a character that an echo would show, byte by byte
  kEnter,    //
  kAccept,   // ^O: as Enter, and recalls the next line of history
  kGiveUp,   // ^C, ^Z, ^\: the line is none
  kRecall,   // history, completion, what was cut: the screen says what it is
  kSearch,   // ^R, ^S: recalls, and until it ends shows something else instead of the prompt
  kEdit,     // the line is not what was typed: cursor keys, words, backspace
  kControl,  // any other control character: edits a line, or tells a multiplexer that the next key is for it
};

struct Stroke {
  Key key = Key::kText;
  char c = 0;  // of kText and kControl
};

// Puts escape sequences together. What a terminal answers by itself (positions, attributes, colours, the mouse) is no
// key. Memory is bounded.
class KeyReader {
 public:
  std::optional<Stroke> next(char c);

 private:
  enum class State : std::uint8_t { kPlain, kEscape, kSequence, kString, kStringEscape, kMouse };
  std::optional<Stroke> sequence(char c);
  std::optional<Stroke> plain(char c);

  State state_ = State::kPlain;
  std::string sequence_;
  std::size_t left_ = 0;  // bytes of a string or of the mouse
  bool pasting_ = false;  // bracketed paste: Enter is part of the text
};

}  // namespace mezite::recording
