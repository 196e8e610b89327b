#include "client/escape.hh"

namespace mezite::client {

EscapeFilter::Verdict EscapeFilter::filter(BytesView keys, Bytes& out) {
  for (const std::uint8_t key : keys) {
    switch (state_) {
      case State::kAfterTilde:
        if (key == '.') return Verdict::kDisconnect;
        if (key != '~') out.push_back('~');
        break;
      case State::kLineStart:
        if (key == '~') {
          state_ = State::kAfterTilde;
          continue;
        }
        break;
      case State::kInLine: break;
    }
    out.push_back(key);
    state_ = key == '\r' || key == '\n' ? State::kLineStart : State::kInLine;
  }
  return Verdict::kGoOn;
}

}  // namespace mezite::client
