// SSH private keys in memory and in OpenSSH's file format.
#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "crypto/signing_key.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh {

// Immutable, cheap to copy, thread-safe.
class PrivateKey final : public Signer {
 public:
  // kInvalidArgument for a FIDO type: its authenticator makes those.
  static Result<PrivateKey> generate(KeyType type, int rsa_bits = 3072);
  static Result<PrivateKey> from_crypto(crypto::SigningKey key);
  static Result<PrivateKey> from_pkcs8(BytesView der);
  // OpenSSH's "OPENSSH PRIVATE KEY" without passphrase, or a PKCS #8/SEC 1/PKCS #1 PEM. An encrypted key is
  // kFailedPrecondition and the message says what to do.
  static Result<PrivateKey> from_pem(std::string_view pem);

  Result<Secret> to_openssh_pem(std::string_view comment = {}) const;
  Result<Secret> to_pkcs8() const { return key_.to_pkcs8(); }

  const PublicKey& public_key() const override { return public_; }
  Result<Bytes> sign(std::string_view algorithm, BytesView message) const override;
  const crypto::SigningKey& crypto_key() const { return key_; }

  // The private half as openssh-key-v1 and the agent protocol carry it: type name and all numbers, public ones
  // included.
  Result<Secret> private_fields() const;

 private:
  PrivateKey(crypto::SigningKey key, PublicKey public_key) : key_(std::move(key)), public_(std::move(public_key)) {}
  crypto::SigningKey key_;
  PublicKey public_;
};

}  // namespace mezite::ssh
