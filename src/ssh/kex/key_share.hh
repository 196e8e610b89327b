// The arithmetic of a key exchange method, as one value each way: what the client sends, what the server answers, and
// the secret K that both then have. Values are the content of the SSH string or mpint that carries them; both look the
// same on the wire.
#pragma once

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "crypto/kex.hh"
#include "ssh/kex/algorithms.hh"

namespace mezite::ssh {

// The server's part, which is over at once. kProtocol for a client's value of the wrong length or outside its group.
struct ServerKeyShare {
  Bytes public_value;
  Secret secret;  // K as it is hashed: an mpint, or the string of a hybrid method

  static Result<ServerKeyShare> answer(const KexAlgorithm& kex, BytesView client_value);
};

class ClientKeyShare {
 public:
  static Result<ClientKeyShare> generate(const KexAlgorithm& kex);
  BytesView public_value() const { return public_value_; }
  // K, as above.
  Result<Secret> finish(BytesView server_value) const;

 private:
  ClientKeyShare(const KexAlgorithm& kex, crypto::KeyAgreement agreement)
      : kex_(&kex), agreement_(std::move(agreement)) {}

  const KexAlgorithm* kex_;  // in the table
  crypto::KeyAgreement agreement_;
  Secret kem_private_;
  Bytes public_value_;
};

}  // namespace mezite::ssh
