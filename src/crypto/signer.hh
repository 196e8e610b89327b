// What signs as an asymmetric key: one in memory, or one that stays in a KMS. And X.509 issued through it.
#pragma once

#include <utility>

#include "crypto/signing_key.hh"
#include "crypto/x509.hh"

namespace mezite::crypto {

// Thread-safe.
class Signer {
 public:
  virtual ~Signer() = default;
  virtual const VerifyingKey& public_key() const = 0;
  // The raw signature, as SigningKey::sign() gives it, of public_key()'s private half. May block for seconds when the
  // key is elsewhere: never to be called on a thread that does I/O for others.
  virtual Result<Bytes> sign(SignatureHash hash, BytesView message) const = 0;
};

class SoftwareSigner final : public Signer {
 public:
  explicit SoftwareSigner(SigningKey key) : key_(std::move(key)) {}
  const VerifyingKey& public_key() const override { return key_.public_key(); }
  Result<Bytes> sign(SignatureHash hash, BytesView message) const override { return key_.sign(hash, message); }

 private:
  SigningKey key_;
};

// As the functions of the same names in x509.hh.
Result<X509Certificate> make_x509_ca(const Signer& key, const X509CaSpec& spec);
Result<X509Certificate> issue_x509_leaf(const X509Certificate& ca, const Signer& ca_key, BytesView subject_spki,
                                        const X509LeafSpec& spec);

// A CA once more, under the key of another CA: whoever trusts only the other one is led to what this one has signed
// (RFC 4210 §4.4, "new with old"). Ends with the CA that ends first.
Result<X509Certificate> cross_sign_x509_ca(const X509Certificate& subject_ca, const X509Certificate& ca,
                                           const Signer& ca_key);

}  // namespace mezite::crypto
