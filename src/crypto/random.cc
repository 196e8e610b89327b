#include "crypto/random.hh"

#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "crypto/ossl.hh"

namespace mezite::crypto {

void fill_random(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::size_t size = std::min<std::size_t>(out.size(), INT_MAX);
    ossl::require(RAND_bytes(out.data(), static_cast<int>(size)) == 1, "random bytes");
    out = out.subspan(size);
  }
}

Bytes random_bytes(std::size_t size) {
  Bytes out(size);
  fill_random(out);
  return out;
}

Secret random_secret(std::size_t size) {
  Secret out(size);
  fill_random({out.data(), out.size()});
  return out;
}

std::uint64_t random_u64() {
  std::uint64_t value = 0;
  fill_random({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
  return value;
}

std::string random_token() {
  const Secret secret = random_secret(32);
  return to_base64url(secret.view());
}

void fill_random_fast(std::span<std::uint8_t> out) {
  struct Block {
    std::array<std::uint8_t, 4096> bytes;
    std::size_t used = sizeof(bytes);
    pid_t owner = 0;
  };
  thread_local Block block;
  // A forked child must not hand out what its parent will.
  if (const pid_t self = ::getpid(); block.owner != self) {
    block.owner = self;
    block.used = block.bytes.size();
  }
  while (!out.empty()) {
    if (block.used == block.bytes.size()) {
      fill_random(block.bytes);
      block.used = 0;
    }
    const std::size_t size = std::min(out.size(), block.bytes.size() - block.used);
    std::copy_n(block.bytes.data() + block.used, size, out.data());
    ::explicit_bzero(block.bytes.data() + block.used, size);
    block.used += size;
    out = out.subspan(size);
  }
}

}  // namespace mezite::crypto
