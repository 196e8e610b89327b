#include "spiffe/jwk.hh"

#include <nlohmann/json.hpp>

namespace mezite::spiffe {

using Json = nlohmann::ordered_json;

Result<Json> jwk_of(const crypto::VerifyingKey& key) {
  Bytes raw = key.raw();
  if (key.algorithm() == crypto::KeyAlgorithm::kEd25519) {
    return Json{{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", to_base64url(raw)}};
  }
  if (key.algorithm() != crypto::KeyAlgorithm::kEcdsaP256 || raw.size() != 65) {
    return fail(ErrorCode::kInvalidArgument, "only Ed25519 and ECDSA P-256 keys are written as JSON web keys");
  }
  return Json{{"kty", "EC"},
              {"crv", "P-256"},
              {"x", to_base64url(BytesView(raw).subspan(1, 32))},
              {"y", to_base64url(BytesView(raw).subspan(33, 32))}};
}

}  // namespace mezite::spiffe
