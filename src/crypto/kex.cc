#include "crypto/kex.hh"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>

namespace mezite::crypto {

namespace {

constexpr std::size_t kX25519Bytes = 32;
constexpr std::size_t kP256PointBytes = 65;
constexpr std::uint8_t kUncompressedPoint = 0x04;

struct FreeContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, FreeContext>;

// OpenSSL queues errors per thread; what a peer's bytes caused must not be found by the next caller.
struct ClearErrors {
  ~ClearErrors() { ERR_clear_error(); }
};

}  // namespace

void KeyAgreement::FreeKey::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

Result<KeyAgreement> KeyAgreement::generate(KeyAgreementGroup group) {
  Key key(group == KeyAgreementGroup::kX25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")
                                              : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (!key) return fail(ErrorCode::kInternal, "OpenSSL cannot make an ephemeral key");
  Bytes value(group == KeyAgreementGroup::kX25519 ? kX25519Bytes : kP256PointBytes);
  std::size_t size = value.size();
  const bool ok =
      group == KeyAgreementGroup::kX25519
          ? EVP_PKEY_get_raw_public_key(key.get(), value.data(), &size) == 1
          : EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, value.data(), value.size(), &size) == 1;
  if (!ok || size != value.size()) return fail(ErrorCode::kInternal, "OpenSSL cannot write an ephemeral public value");
  return KeyAgreement(group, std::move(key), std::move(value));
}

Result<KeyAgreement::Key> KeyAgreement::load_peer(KeyAgreementGroup group, BytesView value) {
  if (group == KeyAgreementGroup::kX25519) {
    if (value.size() != kX25519Bytes) {
      return fail(ErrorCode::kProtocol, "X25519 public value of {} bytes instead of {}", value.size(), kX25519Bytes);
    }
    Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, value.data(), value.size()));
    if (!key) return fail(ErrorCode::kProtocol, "X25519 public value refused");
    return key;
  }
  if (value.size() != kP256PointBytes || value[0] != kUncompressedPoint) {
    return fail(ErrorCode::kProtocol, "P-256 public value is not an uncompressed point of {} bytes", kP256PointBytes);
  }
  Context context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  char group_name[] = "P-256";
  std::array<std::uint8_t, kP256PointBytes> point;
  std::copy(value.begin(), value.end(), point.begin());
  std::array<OSSL_PARAM, 3> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group_name, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* raw = nullptr;
  // Reading the point checks that it is on the curve; with a cofactor of 1 nothing else is to be checked.
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, parameters.data()) != 1) {
    return fail(ErrorCode::kProtocol, "P-256 public value is not on the curve");
  }
  return Key(raw);
}

Result<Secret> KeyAgreement::agree(BytesView peer_public_value) const {
  const ClearErrors clear;
  MEZ_TRY(const Key peer, load_peer(group_, peer_public_value));
  Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  Secret shared(std::size_t{32});
  std::size_t size = shared.size();
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0) != 1 ||
      EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size != shared.size()) {
    return fail(ErrorCode::kProtocol, "public value refused by the key agreement");
  }
  const std::array<std::uint8_t, 32> zero{};
  if (CRYPTO_memcmp(shared.data(), zero.data(), zero.size()) == 0) {
    return fail(ErrorCode::kProtocol, "public value of low order");
  }
  return shared;
}

}  // namespace mezite::crypto
