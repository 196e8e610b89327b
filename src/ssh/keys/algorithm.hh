// Public key algorithms: how the names of negotiation, key blob and signature belong together.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/signing_key.hh"

namespace mezite::ssh {

// The kSk… ones live in a FIDO authenticator and are for users only: there is no private half to have here.
enum class KeyType : std::uint8_t { kEd25519, kEcdsaP256, kEcdsaP384, kEcdsaP521, kRsa, kSkEd25519, kSkEcdsaP256 };

constexpr bool is_fido(KeyType type) { return type == KeyType::kSkEd25519 || type == KeyType::kSkEcdsaP256; }
// The cryptography of a type, and the type of a plain key.
crypto::KeyAlgorithm crypto_algorithm(KeyType type);
KeyType key_type(crypto::KeyAlgorithm algorithm);

enum class KeyForm { kPlain, kCertificate };

// One line of what is negotiated in server_host_key_algorithms (but for FIDO keys) and named in userauth and
// server-sig-algs.
struct PublicKeyAlgorithm {
  std::string_view name;            // "rsa-sha2-512-cert-v01@openssh.com"
  std::string_view key_name;        // in the key blob: "ssh-rsa-cert-v01@openssh.com"
  std::string_view signature_name;  // in the signature blob: "rsa-sha2-512"
  KeyType type;
  KeyForm form;
};

// All that are taken, in order of preference: certificates first, no SHA-1, no DSA.
std::span<const PublicKeyAlgorithm> public_key_algorithms();

// nullptr when unknown.
const PublicKeyAlgorithm* find_public_key_algorithm(std::string_view name);

// "ssh-ed25519" and "ssh-ed25519-cert-v01@openssh.com".
std::string_view plain_key_name(KeyType type);
std::string_view certificate_key_name(KeyType type);

// What a key of this type may sign with, preferred first; RSA: rsa-sha2-512, rsa-sha2-256.
std::span<const std::string_view> signature_algorithms(KeyType type);

}  // namespace mezite::ssh
