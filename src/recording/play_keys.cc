#include "recording/play_keys.hh"

#include <optional>

namespace mezite::recording {
namespace {

std::optional<PlayKey> plain_key(char c) {
  switch (c) {
    case 'q':
    case '\x03':
    case '\x04': return PlayKey::kQuit;
    case ' ': return PlayKey::kPause;
    case '.': return PlayKey::kStep;
    case '+':
    case '=': return PlayKey::kFaster;
    case '-': return PlayKey::kSlower;
    case 'h': return PlayKey::kBack;
    case 'l': return PlayKey::kForward;
    default: return std::nullopt;
  }
}

std::optional<PlayKey> arrow(char final) {
  switch (final) {
    case 'A': return PlayKey::kFarForward;
    case 'B': return PlayKey::kFarBack;
    case 'C': return PlayKey::kForward;
    case 'D': return PlayKey::kBack;
    default: return std::nullopt;
  }
}

constexpr std::size_t kMaxSequenceBytes = 32;

}  // namespace

std::vector<PlayKeyPress> PlayKeys::push(std::string_view bytes) {
  std::vector<PlayKeyPress> pressed;
  for (const char c : bytes) {
    if (pending_.empty()) {
      if (c == '\x1b') {
        pending_ = c;
      } else if (c >= '0' && c <= '9') {
        pressed.push_back({PlayKey::kTenth, c - '0'});
      } else if (const auto key = plain_key(c)) {
        pressed.push_back({*key});
      }
      continue;
    }
    if (c == '\x1b') {  // the key Escape, and then another
      pending_ = c;
      continue;
    }
    pending_ += c;
    if (pending_.size() == 2) {
      if (c == '[' || c == 'O') continue;
      pending_.clear();
      if (const auto key = plain_key(c)) pressed.push_back({*key});
      continue;
    }
    if (c >= 0x40 && c <= 0x7e) {
      if (const auto key = arrow(c)) pressed.push_back({*key});
      pending_.clear();
    } else if (pending_.size() > kMaxSequenceBytes) {
      pending_.pop_back();  // passed over to its end
    }
  }
  return pressed;
}

}  // namespace mezite::recording
