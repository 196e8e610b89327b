// ssh's escape characters on a terminal: after a line feed, "~." ends the connection, "~~" is one "~".
#pragma once

#include "base/bytes.hh"

namespace mezite::client {

class EscapeFilter {
 public:
  enum class Verdict { kGoOn, kDisconnect };

  // Appends to out what is to be sent of the keys; stops at "~.".
  Verdict filter(BytesView keys, Bytes& out);

 private:
  enum class State { kLineStart, kAfterTilde, kInLine };
  State state_ = State::kLineStart;
};

}  // namespace mezite::client
