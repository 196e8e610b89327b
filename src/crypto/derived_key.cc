#include "crypto/derived_key.hh"

#include <openssl/core_names.h>
#include <openssl/kdf.h>

#include <array>

#include "crypto/ossl.hh"

namespace mezite::crypto {
namespace {

constexpr std::size_t kScalarBytes = 32;
constexpr std::size_t kExtraBytes = 8;

using Kdf = ossl::Owned<EVP_KDF, EVP_KDF_free>;
using KdfCtx = ossl::Owned<EVP_KDF_CTX, EVP_KDF_CTX_free>;
using Group = ossl::Owned<EC_GROUP, EC_GROUP_free>;
using Point = ossl::Owned<EC_POINT, EC_POINT_clear_free>;
using BnCtx = ossl::Owned<BN_CTX, BN_CTX_free>;

Secret hkdf_sha256(BytesView secret, std::string_view purpose, std::size_t size) {
  const Kdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const KdfCtx context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  ossl::require(context != nullptr, "HKDF");
  char digest[] = "SHA256";
  std::array<OSSL_PARAM, 4> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<std::uint8_t*>(secret.data()), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(purpose.data()), purpose.size()),
      OSSL_PARAM_construct_end()};
  Secret derived(size);
  ossl::require(EVP_KDF_derive(context.get(), derived.data(), derived.size(), parameters.data()) == 1, "HKDF");
  return derived;
}

}  // namespace

Result<SigningKey> derive_p256_key(BytesView secret, std::string_view purpose) {
  if (secret.size() < kScalarBytes || purpose.empty()) {
    return fail(ErrorCode::kInvalidArgument, "a key is derived from {} secret bytes and a purpose", kScalarBytes);
  }
  const Secret candidate = hkdf_sha256(secret, purpose, kScalarBytes + kExtraBytes);
  const Group group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const BnCtx context(BN_CTX_secure_new());
  const ossl::Bignum scalar = ossl::bn_from(candidate.view());
  const ossl::Bignum bound(BN_dup(EC_GROUP_get0_order(group.get())));
  BN_set_flags(scalar.get(), BN_FLG_CONSTTIME);
  // scalar = candidate mod (order - 1) + 1, so that it is never 0.
  ossl::require(BN_sub_word(bound.get(), 1) == 1 &&
                    BN_nnmod(scalar.get(), scalar.get(), bound.get(), context.get()) == 1 &&
                    BN_add_word(scalar.get(), 1) == 1,
                "deriving a scalar");
  const Point point(EC_POINT_new(group.get()));
  ossl::require(EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, context.get()) == 1,
                "deriving a point");
  Bytes octets(1 + 2 * kScalarBytes);
  ossl::require(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, octets.data(),
                                   octets.size(), context.get()) == octets.size(),
                "encoding a point");
  std::array<std::uint8_t, kScalarBytes> bytes{};
  ossl::require(BN_bn2binpad(scalar.get(), bytes.data(), static_cast<int>(bytes.size())) == kScalarBytes,
                "encoding a scalar");
  auto key = SigningKey::from_ecdsa(KeyAlgorithm::kEcdsaP256, octets, bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

}  // namespace mezite::crypto
