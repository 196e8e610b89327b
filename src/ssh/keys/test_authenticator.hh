// For tests: a FIDO authenticator in software, which says about touches and PINs what it is told to.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "crypto/hash.hh"
#include "crypto/signing_key.hh"
#include "ssh/keys/signature.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh::testing_tools {

// Of Debian's openssh-tests: an authenticator for the stock programs (SSH_SK_PROVIDER).
inline constexpr const char* kSkDummy = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

class TestAuthenticator final : public Signer {
 public:
  explicit TestAuthenticator(KeyType type, std::string application = "ssh:")
      : type_(type), key_(*crypto::SigningKey::generate(crypto_algorithm(type))), public_(make(application)) {}

  const PublicKey& public_key() const override { return public_; }
  // What sign() says of the user.
  AuthenticatorData shows{.flags = AuthenticatorData::kUserPresent, .counter = 7};
  Result<Bytes> sign(std::string_view, BytesView message) const override { return sign(message, shows); }

  Bytes sign(BytesView message, const AuthenticatorData& data) const {
    const std::string_view name = public_.signature_algorithms().front();
    const auto raw =
        key_.sign(*signature_hash(type_, name), authenticator_message(public_.application(), data, message));
    Bytes blob = wrap_signature(key_.algorithm(), name, *raw);
    Writer(blob).byte(data.flags).u32(data.counter);
    return blob;
  }
  // The same key under another application.
  PublicKey with_application(std::string_view application) const { return make(application); }

 private:
  PublicKey make(std::string_view application) const {
    Bytes wire;
    Writer out(wire);
    out.string(plain_key_name(type_));
    if (type_ == KeyType::kSkEcdsaP256) out.string("nistp256");
    out.string(key_.public_key().raw()).string(application);
    return *PublicKey::from_wire(wire);
  }

  KeyType type_;
  crypto::SigningKey key_;
  PublicKey public_;
};

}  // namespace mezite::ssh::testing_tools
