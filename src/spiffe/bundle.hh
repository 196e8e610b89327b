// What a trust domain is trusted by.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "crypto/x509.hh"
#include "spiffe/jwt_svid.hh"

namespace mezite::spiffe {

struct Bundle {
  std::string trust_domain;
  std::vector<crypto::X509Certificate> x509;  // the one that signs first
  std::vector<JwtKey> jwt;                    // as well
  std::int64_t sequence = 0;                  // grows with every change
};

// How often a consumer should ask for a bundle again: well within a rotation, which waits for nobody outside.
inline constexpr std::chrono::seconds kRefreshHint{300};

// The SPIFFE bundle document (Trust Domain and Bundle §4): a JWK set with all keys, sequence and refresh hint.
Result<std::string> to_json(const Bundle& bundle);
// The keys for tokens alone, as a JWK set: what the Workload API gives.
Result<std::string> jwt_keys_to_json(std::span<const JwtKey> keys);
// The certificates, DER after DER.
Bytes to_der(std::span<const crypto::X509Certificate> certificates);

}  // namespace mezite::spiffe
