// Ephemeral Diffie-Hellman: X25519 (RFC 7748) and ECDH on P-256 (SEC 1).
#pragma once

#include <memory>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"

struct evp_pkey_st;

namespace mezite::crypto {

enum class KeyAgreementGroup {
  kX25519,  // public values of 32 bytes
  kP256,    // public values of 65 bytes: 04, x, y
};

class KeyAgreement {
 public:
  static Result<KeyAgreement> generate(KeyAgreementGroup group);

  BytesView public_value() const { return public_value_; }

  // The shared secret: 32 bytes, big endian x coordinate for P-256. kProtocol for a peer value of the wrong length, off
  // the curve, compressed, at infinity, or of low order (an all-zero result, RFC 8731 §3).
  Result<Secret> agree(BytesView peer_public_value) const;

 private:
  struct FreeKey {
    void operator()(evp_pkey_st* key) const;
  };
  using Key = std::unique_ptr<evp_pkey_st, FreeKey>;
  KeyAgreement(KeyAgreementGroup group, Key key, Bytes public_value)
      : group_(group), key_(std::move(key)), public_value_(std::move(public_value)) {}
  static Result<Key> load_peer(KeyAgreementGroup group, BytesView value);

  KeyAgreementGroup group_;
  Key key_;
  Bytes public_value_;
};

}  // namespace mezite::crypto
