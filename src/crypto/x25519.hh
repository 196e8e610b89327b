// X25519 (RFC 7748) with keys that are kept, and HKDF (RFC 5869): what sealing something to a public key needs.
// Ephemeral key exchange is in kex.hh.
#pragma once

#include <array>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"

namespace mezite::crypto {

inline constexpr std::size_t kX25519KeyBytes = 32;
using X25519PublicKey = std::array<std::uint8_t, kX25519KeyBytes>;

// 32 random bytes.
Secret x25519_generate();
// kInvalidArgument when the private key has not 32 bytes.
Result<X25519PublicKey> x25519_public(const Secret& private_key);
// 32 bytes. kCorrupt for a public key of low order (an all-zero result, RFC 7748 §6.1).
Result<Secret> x25519_agree(const Secret& private_key, const X25519PublicKey& public_key);

// HKDF-SHA256: 32 bytes.
Secret hkdf_sha256(BytesView input_key, BytesView salt, BytesView info);

}  // namespace mezite::crypto
