// Public keys as JSON Web Keys (RFC 7517, 7518, 8037). Inside src/spiffe/ only.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "crypto/signing_key.hh"

namespace mezite::spiffe {

// The members that make the key: kty, crv, x (and y). kInvalidArgument for anything but Ed25519 and ECDSA P-256.
Result<nlohmann::ordered_json> jwk_of(const crypto::VerifyingKey& key);

}  // namespace mezite::spiffe
