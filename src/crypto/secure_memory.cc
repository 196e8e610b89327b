#include "crypto/secure_memory.hh"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "crypto/ossl.hh"

namespace mezite::crypto {
namespace {

// A key takes a few hundred bytes; a hub has six of CAs and a handful of its own.
constexpr std::size_t kArenaBytes = std::size_t{256} << 10;
constexpr std::size_t kLeastBlockBytes = 32;

}  // namespace

Status reserve_secure_memory() {
  // 1: locked; 2: made, but not locked; 0: not made.
  switch (CRYPTO_secure_malloc_init(kArenaBytes, kLeastBlockBytes)) {
    case 1: return {};
    case 2:
      return fail(ErrorCode::kIo,
                  "memory for keys could not be locked and may be written to swap: allow {} KiB of locked memory "
                  "(LimitMEMLOCK= in the unit, ulimit -l)",
                  kArenaBytes >> 10);
    default: return fail(ErrorCode::kIo, "no memory for keys could be set apart: {}", ossl::take_error());
  }
}

LockedSecret::LockedSecret(BytesView bytes) : size_(bytes.size()) {
  if (size_ == 0) return;
  data_ = static_cast<std::uint8_t*>(OPENSSL_secure_malloc(size_));  // from the heap when there is no arena
  ossl::require(data_ != nullptr, "allocating memory for a key");
  std::copy(bytes.begin(), bytes.end(), data_);
}

LockedSecret::LockedSecret(LockedSecret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

LockedSecret& LockedSecret::operator=(LockedSecret&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

LockedSecret::~LockedSecret() { OPENSSL_secure_clear_free(data_, size_); }

}  // namespace mezite::crypto
