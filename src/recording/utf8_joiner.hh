// Whole characters out of bytes that come in pieces.
#pragma once

#include <string>

#include "base/bytes.hh"

namespace mezite::recording {

// Gives back whole characters: what a read cut in two waits for its rest (at most three bytes). Bytes that are not
// UTF-8 become U+FFFD.
class Utf8Joiner {
 public:
  std::string push(BytesView bytes);
  // At the end: what never got its rest.
  std::string finish();

 private:
  std::string rest_;
};

}  // namespace mezite::recording
