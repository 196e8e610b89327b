// JWT-SVIDs: signed by ES256, nothing else (JWT-SVID §2.1 allows RS, ES and PS; the keys here are ECDSA P-256).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "crypto/signer.hh"
#include "spiffe/id.hh"

namespace mezite::spiffe {

inline constexpr std::size_t kMaxAudiences = 16;
inline constexpr std::size_t kMaxAudienceBytes = 512;
inline constexpr std::size_t kMaxTokenBytes = 16 << 10;

// 1 to kMaxAudiences, each of 1 to kMaxAudienceBytes printable bytes.
Status check_audiences(std::span<const std::string> audiences);

// A key that tokens are checked with.
struct JwtKey {
  std::string kid;  // its RFC 7638 thumbprint
  crypto::VerifyingKey key;

  // kInvalidArgument for anything but ECDSA P-256.
  static Result<JwtKey> of(crypto::VerifyingKey key);
};

struct JwtClaims {
  Id subject;
  std::vector<std::string> audiences;
  SystemTime issued_at, expires_at;  // whole seconds count
};

// JWS Compact Serialization. Blocks as the signer does.
Result<std::string> sign_jwt_svid(const crypto::Signer& signer, const JwtClaims& claims);

struct VerifiedJwt {
  Id subject;
  SystemTime expires_at;
  std::string claims_json;  // an object
};

// Hostile input. Signature by one of the keys, subject of that trust domain, the audience among its audiences, not
// expired (JWT-SVID §4 and §5). kUnauthenticated says what is wrong.
Result<VerifiedJwt> verify_jwt_svid(std::string_view token, std::string_view trust_domain, std::span<const JwtKey> keys,
                                    std::string_view audience, SystemTime now);

}  // namespace mezite::spiffe
