// Ephemeral Diffie-Hellman: X25519 (RFC 7748), ECDH on the NIST curves (SEC 1) and in the groups of RFC 3526.
#pragma once

#include <memory>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"

struct evp_pkey_st;

namespace mezite::crypto {

enum class KeyAgreementGroup {
  kX25519,  // public values of 32 bytes
  kP256,    // public values of 65, 97 and 133 bytes: 04, x, y
  kP384,
  kP521,
  kModp2048,  // groups 14, 16 and 18: public values are numbers, big endian, without leading zeros
  kModp4096,
  kModp8192,
};

class KeyAgreement {
 public:
  static Result<KeyAgreement> generate(KeyAgreementGroup group);

  BytesView public_value() const { return public_value_; }

  // The shared secret, big endian: 32 bytes for X25519, the x coordinate in the width of its field for a curve, a
  // number for a modulus. kProtocol for a peer value of the wrong length, off the curve, compressed, at infinity, of
  // low order (an all-zero result, RFC 8731 §3), or a number not in [2, p − 2] (RFC 4253 §8; RFC 8268 §4).
  Result<Secret> agree(BytesView peer_public_value) const;

 private:
  struct FreeKey {
    void operator()(evp_pkey_st* key) const;
  };
  using Key = std::unique_ptr<evp_pkey_st, FreeKey>;
  KeyAgreement(KeyAgreementGroup group, Key key, Bytes public_value)
      : group_(group), key_(std::move(key)), public_value_(std::move(public_value)) {}
  Result<Key> load_peer(BytesView value) const;

  KeyAgreementGroup group_;
  Key key_;
  Bytes public_value_;
};

}  // namespace mezite::crypto
