// A signing key made from another secret.
#pragma once

#include <string_view>

#include "crypto/signing_key.hh"

namespace mezite::crypto {

// An ECDSA P-256 key that follows from a secret of at least 32 random bytes and a purpose: the same for the same two,
// and telling nothing about the secret (HKDF of RFC 5869; the scalar by FIPS 186-5 A.2.1, with 64 extra bits).
Result<SigningKey> derive_p256_key(BytesView secret, std::string_view purpose);

}  // namespace mezite::crypto
