// The SSH signature blob around a raw signature. For the files of this folder.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "crypto/signing_key.hh"
#include "ssh/keys/algorithm.hh"
#include "ssh/keys/fido.hh"

namespace mezite::ssh {

// What a signature algorithm name means for a type of key; nothing when that key may not use it.
std::optional<crypto::SignatureHash> signature_hash(KeyType type, std::string_view algorithm);

// Raw (see crypto/signing_key.hh) → string algorithm, string signature.
Bytes wrap_signature(crypto::KeyAlgorithm key, std::string_view algorithm, BytesView raw);

struct RawSignature {
  Bytes bytes;
  AuthenticatorData authenticator;  // FIDO keys only
};

// The other way round; kUnauthenticated when the blob is malformed, trails bytes or names another algorithm.
Result<RawSignature> unwrap_signature(KeyType type, const crypto::VerifyingKey& key, std::string_view algorithm,
                                      BytesView blob);

}  // namespace mezite::ssh
