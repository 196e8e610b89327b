// GMAC (NIST SP 800-38D) with AES-256: a MAC at the speed of memory, for keys that are used once.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.hh"

namespace mezite::crypto {

inline constexpr std::size_t kGmacKeyBytes = 32;
using GmacTag = std::array<std::uint8_t, 16>;

// Over the parts, one after another, each under 1 GiB. The nonce is zero: a key may make one tag in its life, as two
// tags under the same key and nonce give away what forges more. Nothing of the key is left in memory of OpenSSL. Never
// fails with a key of kGmacKeyBytes; another one is a broken invariant.
GmacTag one_time_gmac(BytesView key, std::span<const BytesView> parts);

}  // namespace mezite::crypto
