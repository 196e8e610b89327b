// The packet ciphers and MACs of this build, by their names on the wire.
#pragma once

#include <span>
#include <string_view>

#include "base/bytes.hh"
#include "crypto/cipher.hh"

namespace mezite::ssh {

enum class CipherKind { kAesGcm, kChaCha20Poly1305, kAesCtr };

struct CipherAlgorithm {
  std::string_view name;
  CipherKind kind;
  std::size_t key_bytes;
  std::size_t iv_bytes;
  // Whether the cipher authenticates by itself, so that the negotiated MAC is not used.
  constexpr bool is_aead() const { return kind != CipherKind::kAesCtr; }
};

enum class MacOrder { kEncryptThenMac, kEncryptAndMac };

struct MacAlgorithm {
  std::string_view name;
  crypto::HmacHash hash;
  std::size_t key_bytes;
  MacOrder order;
};

// In order of preference.
std::span<const CipherAlgorithm> cipher_algorithms();
std::span<const MacAlgorithm> mac_algorithms();

// nullptr when unknown.
const CipherAlgorithm* find_cipher_algorithm(std::string_view name);
const MacAlgorithm* find_mac_algorithm(std::string_view name);

}  // namespace mezite::ssh
