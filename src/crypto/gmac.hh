// GMAC (NIST SP 800-38D) with AES-256: a MAC at the speed of memory, for keys that are used once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.hh"

namespace mezite::crypto {

inline constexpr std::size_t kGmacKeyBytes = 32;
using GmacTag = std::array<std::uint8_t, 16>;

// The nonce is zero: a key may make one tag in its life, as two tags under the same key and nonce give away what forges
// more. Nothing of the key is left in memory of OpenSSL afterwards. Never fails with a key of kGmacKeyBytes; another
// one is a broken invariant.
class OneTimeGmac {
 public:
  explicit OneTimeGmac(BytesView key);
  OneTimeGmac(OneTimeGmac&&) noexcept;
  OneTimeGmac& operator=(OneTimeGmac&&) noexcept;
  ~OneTimeGmac();

  void update(BytesView bytes);  // less than 1 GiB at once
  GmacTag finish();              // once, and nothing after it

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Of the parts, one after another.
GmacTag one_time_gmac(BytesView key, std::span<const BytesView> parts);

}  // namespace mezite::crypto
