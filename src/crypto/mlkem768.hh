// ML-KEM-768, the key encapsulation mechanism of FIPS 203, in constant time where it touches secrets.
#pragma once

#include <array>
#include <span>

#include "base/bytes.hh"
#include "base/secret.hh"

namespace mezite::crypto::mlkem768 {

inline constexpr std::size_t kPublicKeyBytes = 1184;
inline constexpr std::size_t kPrivateKeyBytes = 2400;
inline constexpr std::size_t kCiphertextBytes = 1088;
inline constexpr std::size_t kSharedSecretBytes = 32;
inline constexpr std::size_t kSeedBytes = 64;     // d || z
inline constexpr std::size_t kMessageBytes = 32;  // m

struct KeyPair {
  std::array<std::uint8_t, kPublicKeyBytes> public_key;
  Secret private_key;
};
// From fresh random bytes; from_seed (ML-KEM.KeyGen_internal, algorithm 16) repeats itself, for tests.
KeyPair generate();
KeyPair from_seed(std::span<const std::uint8_t, kSeedBytes> seed);

struct Encapsulated {
  std::array<std::uint8_t, kCiphertextBytes> ciphertext;
  Secret shared_secret;
};
// Refuses a public key of another length or with a coefficient that is not reduced (FIPS 203 §7.2).
Result<Encapsulated> encapsulate(BytesView public_key);
Result<Encapsulated> encapsulate_with(BytesView public_key, std::span<const std::uint8_t, kMessageBytes> message);

// Refuses lengths only: a ciphertext that does not belong to the key gives a secret that nobody else has (implicit
// rejection, algorithm 18).
Result<Secret> decapsulate(BytesView private_key, BytesView ciphertext);

}  // namespace mezite::crypto::mlkem768
