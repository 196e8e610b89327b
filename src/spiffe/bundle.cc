#include "spiffe/bundle.hh"

#include <nlohmann/json.hpp>

#include "spiffe/jwk.hh"

namespace mezite::spiffe {
namespace {

using Json = nlohmann::ordered_json;

Status add_jwt_keys(std::span<const JwtKey> keys, Json& out) {
  for (const JwtKey& one : keys) {
    MEZ_TRY(Json jwk, jwk_of(one.key));
    jwk["kid"] = one.kid;
    jwk["use"] = "jwt-svid";
    out.push_back(std::move(jwk));
  }
  return {};
}

}  // namespace

Result<std::string> to_json(const Bundle& bundle) {
  Json keys = Json::array();
  for (const crypto::X509Certificate& ca : bundle.x509) {
    MEZ_TRY(auto key, ca.public_key());
    MEZ_TRY(Json jwk, jwk_of(key));
    jwk["use"] = "x509-svid";
    jwk["x5c"] = Json::array({to_base64(ca.to_der())});
    keys.push_back(std::move(jwk));
  }
  MEZ_CHECK(add_jwt_keys(bundle.jwt, keys));
  Json document{{"keys", keys}, {"spiffe_sequence", bundle.sequence}, {"spiffe_refresh_hint", kRefreshHint.count()}};
  return document.dump(2) + "\n";
}

Result<std::string> jwt_keys_to_json(std::span<const JwtKey> keys) {
  Json list = Json::array();
  MEZ_CHECK(add_jwt_keys(keys, list));
  return Json{{"keys", list}}.dump();
}

Bytes to_der(std::span<const crypto::X509Certificate> certificates) {
  Bytes out;
  for (const crypto::X509Certificate& one : certificates) {
    Bytes der = one.to_der();
    out.insert(out.end(), der.begin(), der.end());
  }
  return out;
}

}  // namespace mezite::spiffe
