#include "recording/search/keys.hh"

#include <string_view>

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxSequenceBytes = 32;
constexpr std::size_t kMaxStringBytes = 4096;  // one that does not end is none
constexpr std::size_t kMouseBytes = 3;         // "ESC [ M", button, column, row

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

}  // namespace

std::optional<Stroke> KeyReader::next(char c) {
  switch (state_) {
    case State::kPlain: return plain(c);
    case State::kSequence: return sequence(c);
    case State::kMouse:
      if (--left_ == 0) state_ = State::kPlain;
      return std::nullopt;
    case State::kString:
    case State::kStringEscape: {
      const bool ends = c == '\a' || (state_ == State::kStringEscape && c == '\\') || --left_ == 0;
      state_ = ends ? State::kPlain : c == '\x1b' ? State::kStringEscape : State::kString;
      return std::nullopt;
    }
    case State::kEscape: break;
  }
  if (c == '\x1b') return std::nullopt;
  if (c == '[' || c == 'O') {
    state_ = State::kSequence;
    sequence_.clear();
    return std::nullopt;
  }
  if (c == ']' || c == 'P') {
    state_ = State::kString;
    left_ = kMaxStringBytes;
    return std::nullopt;
  }
  state_ = State::kPlain;  // M-b, M-d, M-.: words, and the last argument
  return Stroke{is_one_of(c, "._pn<>") ? Key::kRecall : Key::kEdit};
}

std::optional<Stroke> KeyReader::sequence(char c) {
  if (sequence_.size() < kMaxSequenceBytes) sequence_ += c;
  if (c < 0x40 || c == 0x7f) return std::nullopt;
  state_ = State::kPlain;
  if (sequence_ == "M") {
    state_ = State::kMouse;
    left_ = kMouseBytes;
    return std::nullopt;
  }
  if (sequence_ == "200~" || sequence_ == "201~") {
    pasting_ = sequence_ == "200~";
    return std::nullopt;
  }
  if (sequence_.starts_with('<') || is_one_of(c, "RcInyt")) return std::nullopt;
  return Stroke{is_one_of(c, "AB~") ? Key::kRecall : Key::kEdit};
}

std::optional<Stroke> KeyReader::plain(char c) {
  switch (c) {
    case '\x1b': state_ = State::kEscape; return std::nullopt;
    case '\r':
    case '\n': return Stroke{pasting_ ? Key::kEdit : Key::kEnter};
    case '\x0f': return Stroke{Key::kAccept};
    case '\x03':
    case '\x1a':
    case '\x1c': return Stroke{Key::kGiveUp};
    case '\t':
    case '\x10':  // ^P, ^N: history
    case '\x0e':
    case '\x19': return Stroke{Key::kRecall};  // ^Y: what was cut
    case '\x12':
    case '\x13': return Stroke{Key::kSearch};
    default: break;
  }
  if (c == 0x7f || c == '\b') return Stroke{Key::kEdit};
  return Stroke{static_cast<unsigned char>(c) < 0x20 ? Key::kControl : Key::kText, c};
}

}  // namespace mezite::recording
