// Streamlined NTRU Prime 761 (sntrup761), the key encapsulation mechanism of the NTRU Prime submission to NIST's third
// round, as OpenSSH's sntrup761x25519-sha512 uses it; in constant time where it touches secrets.
#pragma once

#include <array>

#include "base/bytes.hh"
#include "base/secret.hh"

namespace mezite::crypto::sntrup761 {

inline constexpr std::size_t kPublicKeyBytes = 1158;
inline constexpr std::size_t kPrivateKeyBytes = 1763;
inline constexpr std::size_t kCiphertextBytes = 1039;
inline constexpr std::size_t kSharedSecretBytes = 32;

struct KeyPair {
  std::array<std::uint8_t, kPublicKeyBytes> public_key;
  Secret private_key;
};
KeyPair generate();

struct Encapsulated {
  std::array<std::uint8_t, kCiphertextBytes> ciphertext;
  Secret shared_secret;
};
// Refuses a public key of another length.
Result<Encapsulated> encapsulate(BytesView public_key);

// Refuses lengths only: a ciphertext that does not belong to the key gives a secret that nobody else has.
Result<Secret> decapsulate(BytesView private_key, BytesView ciphertext);

}  // namespace mezite::crypto::sntrup761
