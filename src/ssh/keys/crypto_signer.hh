// An SSH signer over a raw one, so that a key that stays in a KMS signs certificates.
#pragma once

#include <memory>
#include <utility>

#include "crypto/signer.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh {

class CryptoSigner final : public Signer {
 public:
  // kInvalidArgument when SSH has no such keys.
  static Result<CryptoSigner> make(std::shared_ptr<const crypto::Signer> signer);

  const PublicKey& public_key() const override { return public_; }
  // Blocks as long as the raw signer does.
  Result<Bytes> sign(std::string_view algorithm, BytesView message) const override;
  const crypto::Signer& raw() const { return *signer_; }

 private:
  CryptoSigner(std::shared_ptr<const crypto::Signer> signer, PublicKey public_key)
      : signer_(std::move(signer)), public_(std::move(public_key)) {}
  std::shared_ptr<const crypto::Signer> signer_;
  PublicKey public_;
};

}  // namespace mezite::ssh
