#include "ssh/keys/crypto_signer.hh"

#include "ssh/keys/signature.hh"

namespace mezite::ssh {

Result<CryptoSigner> CryptoSigner::make(std::shared_ptr<const crypto::Signer> signer) {
  MEZ_TRY(PublicKey public_key, PublicKey::from_crypto(signer->public_key()));
  return CryptoSigner(std::move(signer), std::move(public_key));
}

Result<Bytes> CryptoSigner::sign(std::string_view algorithm, BytesView message) const {
  const auto hash = signature_hash(public_.type(), algorithm);
  if (!hash) {
    return fail(ErrorCode::kInvalidArgument, "a {} key does not sign with '{}'", public_.name(), algorithm);
  }
  MEZ_TRY(const Bytes raw, signer_->sign(*hash, message));
  return wrap_signature(signer_->public_key().algorithm(), algorithm, raw);
}

}  // namespace mezite::ssh
