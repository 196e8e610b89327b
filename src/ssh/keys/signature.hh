// The SSH signature blob around a raw signature. For the files of this folder.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "crypto/signing_key.hh"
#include "ssh/keys/algorithm.hh"

namespace mezite::ssh {

// What a signature algorithm name means for a type of key; nothing when that key may not use it.
std::optional<crypto::SignatureHash> signature_hash(KeyType type, std::string_view algorithm);

// Raw (see crypto/signing_key.hh) → string algorithm, string signature.
Bytes wrap_signature(KeyType type, std::string_view algorithm, BytesView raw);

// The other way round; kUnauthenticated when the blob is malformed, trails bytes or names another algorithm.
Result<Bytes> unwrap_signature(const crypto::VerifyingKey& key, std::string_view algorithm, BytesView blob);

}  // namespace mezite::ssh
