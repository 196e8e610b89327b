#include "spiffe/jwt_svid.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "spiffe/jwk.hh"

namespace mezite::spiffe {
namespace {

using Json = nlohmann::ordered_json;

// What clocks may be apart.
constexpr std::chrono::seconds kLeeway{30};
constexpr double kLastSecond = 253402300799;  // the end of the year 9999

std::unexpected<Error> refuse(std::string_view why) {
  return fail(ErrorCode::kUnauthenticated, "the token is no good JWT-SVID: {}", why);
}

Result<Json> parse_part(std::string_view part, std::string_view what) {
  auto bytes = from_base64url(part);
  if (!bytes) return refuse(fmt::format("its {} is not base64url", what));
  Json json = Json::parse(bytes->begin(), bytes->end(), nullptr, false);
  if (!json.is_object()) return refuse(fmt::format("its {} is no JSON object", what));
  return json;
}

Status check_header(const Json& header) {
  for (const auto& [name, value] : header.items()) {
    if (name != "alg" && name != "kid" && name != "typ") return refuse("its header has more than alg, kid and typ");
    if (!value.is_string()) return refuse("its header holds what is no text");
  }
  // The algorithm is the key's, never the token's word for it.
  if (!header.contains("alg") || header["alg"] != "ES256") return refuse("its algorithm is not ES256");
  if (!header.contains("kid")) return refuse("its header names no key");
  if (header.contains("typ") && header["typ"] != "JWT" && header["typ"] != "JOSE") return refuse("its typ is not JWT");
  return {};
}

Result<SystemTime> time_of(const Json& claims, const char* name) {
  auto found = claims.find(name);
  if (found == claims.end() || !found->is_number()) return refuse(fmt::format("its {} is no time", name));
  auto seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= kLastSecond)) return refuse(fmt::format("its {} is no time", name));
  return from_unix_seconds(static_cast<std::int64_t>(seconds));
}

bool is_for(const Json& claims, std::string_view audience) {
  auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return found->get_ref<const std::string&>() == audience;
  return found->is_array() && std::ranges::any_of(*found, [&](const Json& one) {
           return one.is_string() && one.get_ref<const std::string&>() == audience;
         });
}

std::string part_of(const Json& json) {
  return to_base64url(as_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

}  // namespace

Status check_audiences(std::span<const std::string> audiences) {
  if (audiences.empty() || audiences.size() > kMaxAudiences) {
    return fail(ErrorCode::kInvalidArgument, "a JWT-SVID is for 1 to {} audiences, not {}", kMaxAudiences,
                audiences.size());
  }
  for (const std::string& audience : audiences) {
    if (audience.empty() || audience.size() > kMaxAudienceBytes || printable(audience) != audience) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is no audience: 1 to {} bytes without control characters",
                  printable(audience.substr(0, 64)), kMaxAudienceBytes);
    }
  }
  return {};
}

Result<JwtKey> JwtKey::of(crypto::VerifyingKey key) {
  if (key.algorithm() != crypto::KeyAlgorithm::kEcdsaP256) {
    return fail(ErrorCode::kInvalidArgument, "tokens are signed by ECDSA P-256 keys only");
  }
  MEZ_TRY(Json jwk, jwk_of(key));
  // RFC 7638 §3: the required members only, sorted, without white space.
  Json required{{"crv", jwk["crv"]}, {"kty", jwk["kty"]}, {"x", jwk["x"]}, {"y", jwk["y"]}};
  return JwtKey{.kid = to_base64url(crypto::sha256(as_bytes(required.dump()))), .key = std::move(key)};
}

Result<std::string> sign_jwt_svid(const crypto::Signer& signer, const JwtClaims& claims) {
  MEZ_CHECK(check_audiences(claims.audiences));
  MEZ_TRY(JwtKey key, JwtKey::of(signer.public_key()));
  Json header{{"alg", "ES256"}, {"kid", key.kid}, {"typ", "JWT"}};
  Json payload{{"sub", claims.subject.text()},
               {"aud", claims.audiences},
               {"exp", to_unix_seconds(claims.expires_at)},
               {"iat", to_unix_seconds(claims.issued_at)}};
  std::string signed_part = part_of(header) + "." + part_of(payload);
  MEZ_TRY(Bytes signature, signer.sign(crypto::SignatureHash::kSha256, as_bytes(signed_part)));
  return signed_part + "." + to_base64url(signature);
}

Result<VerifiedJwt> verify_jwt_svid(std::string_view token, std::string_view trust_domain, std::span<const JwtKey> keys,
                                    std::string_view audience, SystemTime now) {
  if (token.size() > kMaxTokenBytes) return refuse(fmt::format("it is over {} bytes", kMaxTokenBytes));
  auto parts = split(token, '.');
  if (parts.size() != 3) return refuse("it has not the three parts of a JWS");
  MEZ_TRY(Json header, parse_part(parts[0], "header"));
  MEZ_CHECK(check_header(header));
  auto key = std::ranges::find(keys, header["kid"].get<std::string>(), &JwtKey::kid);
  if (key == keys.end()) return refuse("no key that is trusted now has signed it");
  auto signature = from_base64url(parts[2]);
  if (!signature || !key->key.verify(crypto::SignatureHash::kSha256,
                                     as_bytes(token.substr(0, parts[0].size() + 1 + parts[1].size())), *signature)) {
    return refuse("its signature does not verify");
  }
  MEZ_TRY(Json claims, parse_part(parts[1], "payload"));
  auto subject = claims.find("sub");
  if (subject == claims.end() || !subject->is_string()) return refuse("it has no subject");
  auto id = Id::parse(subject->get_ref<const std::string&>());
  if (!id || id->trust_domain != trust_domain) return refuse("its subject is no SPIFFE ID of this trust domain");
  MEZ_TRY(SystemTime expires, time_of(claims, "exp"));
  if (now >= expires + kLeeway) return refuse("it has expired");
  if (claims.contains("nbf")) {
    MEZ_TRY(SystemTime from, time_of(claims, "nbf"));
    if (now + kLeeway < from) return refuse("it is not valid yet");
  }
  if (!is_for(claims, audience)) return refuse("it is for another audience");
  return VerifiedJwt{.subject = std::move(*id),
                     .expires_at = expires,
                     .claims_json = claims.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace mezite::spiffe
