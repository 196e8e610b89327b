// What an end of a connection proves itself with: a signer, and a certificate for its key when there is one.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "ssh/keys/algorithm.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh {

struct Identity {
  std::shared_ptr<const Signer> signer;
  std::optional<Certificate> certificate;  // its public_key() is signer's

  // The blob to present: the certificate when there is one, else the key.
  const Bytes& blob() const { return certificate ? certificate->wire() : signer->public_key().wire(); }
  // Whether this identity can be used under that public key algorithm name: same key type and same form.
  bool supports(const PublicKeyAlgorithm& algorithm) const {
    return algorithm.type == signer->public_key().type() &&
           algorithm.form == (certificate ? KeyForm::kCertificate : KeyForm::kPlain);
  }
};

}  // namespace mezite::ssh
