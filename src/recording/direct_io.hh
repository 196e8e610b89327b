// Whether what is read from a file or written to it goes past the kernel's page cache (O_DIRECT).
#pragma once

#include <cstddef>

namespace mezite::recording {

// What direct transfers are aligned to, in memory and in the file: a multiple of every disk's logical block (open(2)).
inline constexpr std::size_t kPageBytes = 4096;

// Of one open file, which is named in each call. Not thread-safe.
class DirectIo {
 public:
  // Gives whether it is on afterwards: a file system that can't, or a file that gave it up, stays off.
  bool set(int fd, bool on);
  // After EINVAL, as another alignment is wanted: off for good. Gives whether it is off, and the transfer can go by way
  // of the cache.
  bool give_up(int fd);

  bool on() const { return on_; }
  bool possible() const { return possible_; }

 private:
  bool possible_ = true;
  bool on_ = false;
};

}  // namespace mezite::recording
