// Memory for keys that live long: locked in RAM, left out of core dumps, wiped when it is given back.
#pragma once

#include <cstddef>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::crypto {

// Makes the process's arena for such memory; from then on OpenSSL keeps private keys there, too. To be called first
// thing in main(), before any key exists, and once. kIo when RLIMIT_MEMLOCK leaves no room to lock it: the arena is
// then used unlocked, and the sentence says what to raise.
Status reserve_secure_memory();

// Bytes in that arena (in wiped heap memory when there is none, or when it is full). Moves only.
class LockedSecret {
 public:
  LockedSecret() = default;
  explicit LockedSecret(BytesView bytes);
  LockedSecret(LockedSecret&& other) noexcept;
  LockedSecret& operator=(LockedSecret&& other) noexcept;
  ~LockedSecret();

  BytesView view() const { return {data_, size_}; }
  bool empty() const { return size_ == 0; }
  LockedSecret clone() const { return LockedSecret(view()); }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mezite::crypto
