// AES-256-GCM for secrets at rest: random nonce in front, tag behind, bound to a context by associated data.
#pragma once

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"

namespace mezite::crypto {

inline constexpr std::size_t kAeadKeySize = 32;
inline constexpr std::size_t kAeadNonceSize = 12;
inline constexpr std::size_t kAeadTagSize = 16;

// nonce ‖ ciphertext ‖ tag. The key has kAeadKeySize bytes. With random nonces one key is good for 2^32 messages
// (NIST SP 800-38D §8.3).
Result<Bytes> aead_seal(BytesView key, BytesView plaintext, BytesView associated_data);
// The same into `out`, of plaintext.size() + kAeadOverhead.
inline constexpr std::size_t kAeadOverhead = kAeadNonceSize + kAeadTagSize;
Status aead_seal(BytesView key, BytesView plaintext, BytesView associated_data, std::span<std::uint8_t> out);

// kCorrupt when the key, the associated data or any bit of the message differs.
Result<Secret> aead_open(BytesView key, BytesView sealed, BytesView associated_data);

}  // namespace mezite::crypto
