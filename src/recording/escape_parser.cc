#include "recording/escape_parser.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxSequenceBytes = 64;
constexpr std::size_t kMaxStringBytes = 4096;

}  // namespace

void EscapeParser::feed(std::string_view utf8) {
  for (std::size_t at = 0; at < utf8.size();) {
    std::size_t size = 1;
    while (at + size < utf8.size() && (static_cast<unsigned char>(utf8[at + size]) & 0xc0) == 0x80) ++size;
    one(utf8.substr(at, size));
    at += size;
  }
}

void EscapeParser::begin_string() {
  state_ = State::kString;
  string_bytes_ = 0;
  actions_.string_begun();
}

// U+0080 to U+009F, which a terminal takes for the two characters of the 7-bit form.
void EscapeParser::c1(unsigned char code) {
  switch (code) {
    case 0x90:
    case 0x98:
    case 0x9d:
    case 0x9e:
    case 0x9f: return begin_string();
    case 0x9b:
      state_ = State::kSequence;
      parameters_.clear();
      intermediates_.clear();
      overlong_ = false;
      return;
    case 0x9c: return;
    default: actions_.escape({}, static_cast<char>(code - 0x40)); return;
  }
}

void EscapeParser::one(std::string_view character) {
  const auto byte = static_cast<unsigned char>(character.front());
  // CAN and SUB end whatever there was.
  if (byte == 0x18 || byte == 0x1a) {
    state_ = State::kText;
    return;
  }
  if (state_ == State::kString || state_ == State::kStringEscape) {
    const bool after_escape = state_ == State::kStringEscape;
    string_bytes_ += character.size();
    if (byte == 0x1b) {
      state_ = State::kStringEscape;
    } else if (byte == 0x07 || (after_escape && byte == '\\') || string_bytes_ > kMaxStringBytes ||
               (character.size() == 2 && byte == 0xc2 && static_cast<unsigned char>(character[1]) == 0x9c)) {
      state_ = State::kText;
    } else if (after_escape) {
      // ESC ends a string; what follows it is a sequence of its own.
      state_ = State::kEscape;
      intermediates_.clear();
      one(character);
    }
    return;
  }
  if (byte == 0x1b) {
    state_ = State::kEscape;
    intermediates_.clear();
    return;
  }
  if (byte < 0x20) {
    actions_.control(static_cast<char>(byte));
    return;
  }
  if (state_ == State::kEscape) {
    if (byte >= 0x20 && byte <= 0x2f) {
      if (intermediates_.size() < 4) intermediates_ += static_cast<char>(byte);
      return;
    }
    state_ = State::kText;
    if (character.size() > 1 || byte == 0x7f) return;
    if (intermediates_.empty() && byte == '[') {
      state_ = State::kSequence;
      parameters_.clear();
      overlong_ = false;
    } else if (intermediates_.empty() && (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')) {
      begin_string();
    } else {
      actions_.escape(intermediates_, static_cast<char>(byte));
    }
    return;
  }
  if (state_ == State::kSequence) {
    if (parameters_.size() + intermediates_.size() > kMaxSequenceBytes) overlong_ = true;
    if (byte >= 0x30 && byte <= 0x3f) {
      if (!overlong_) parameters_ += static_cast<char>(byte);
    } else if (byte >= 0x20 && byte <= 0x2f) {
      if (!overlong_) intermediates_ += static_cast<char>(byte);
    } else {
      state_ = State::kText;
      if (byte >= 0x40 && byte <= 0x7e && !overlong_) {
        actions_.control_sequence(parameters_, intermediates_, static_cast<char>(byte));
      }
    }
    return;
  }
  if (byte == 0x7f) return;
  if (character.size() == 2 && byte == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0) {
    intermediates_.clear();
    return c1(static_cast<unsigned char>(character[1]));
  }
  actions_.character(character);
}

}  // namespace mezite::recording
