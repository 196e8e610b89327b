#include "recording/direct_io.hh"

#include <fcntl.h>

namespace mezite::recording {

bool DirectIo::set(int fd, bool on) {
  on = on && possible_;
  if (on == on_) return on_;
  const int flags = ::fcntl(fd, F_GETFL);
  const bool done = flags >= 0 && ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
  if (done) on_ = on;
  if (!done && on) possible_ = false;
  return on_;
}

bool DirectIo::give_up(int fd) {
  possible_ = false;
  return !set(fd, false);
}

}  // namespace mezite::recording
