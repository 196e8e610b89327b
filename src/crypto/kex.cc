#include "crypto/kex.hh"

#include <openssl/core_names.h>

#include <algorithm>
#include <array>
#include <optional>

#include "crypto/ossl.hh"

namespace mezite::crypto {

namespace {

constexpr std::size_t kX25519Bytes = 32;
constexpr std::uint8_t kUncompressedPoint = 0x04;

struct Curve {
  const char* name;
  std::size_t field_bytes;
  std::size_t point_bytes() const { return 1 + 2 * field_bytes; }
};

std::optional<Curve> curve_of(KeyAgreementGroup group) {
  switch (group) {
    case KeyAgreementGroup::kP256: return Curve{"P-256", 32};
    case KeyAgreementGroup::kP384: return Curve{"P-384", 48};
    case KeyAgreementGroup::kP521: return Curve{"P-521", 66};
    default: return std::nullopt;
  }
}

const char* modp_name(KeyAgreementGroup group) {
  switch (group) {
    case KeyAgreementGroup::kModp2048: return "modp_2048";
    case KeyAgreementGroup::kModp4096: return "modp_4096";
    default: return "modp_8192";
  }
}

// OpenSSL queues errors per thread; what a peer's bytes caused must not be found by the next caller.
struct ClearErrors {
  ~ClearErrors() { ERR_clear_error(); }
};

EVP_PKEY* generate_modp(const char* group) {
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  const std::array<OSSL_PARAM, 2> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(group), 0),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_params(context.get(), parameters.data()) != 1 || EVP_PKEY_generate(context.get(), &key) != 1) {
    return nullptr;
  }
  return key;
}

ossl::Bignum number_of(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  return ossl::Bignum(number);
}

EVP_PKEY* from_data(const char* type, OSSL_PARAM_BLD* builder) {
  const ossl::Params parameters(OSSL_PARAM_BLD_to_param(builder));
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  return key;
}

Result<EVP_PKEY*> load_point(const Curve& curve, BytesView value) {
  if (value.size() != curve.point_bytes() || value[0] != kUncompressedPoint) {
    return fail(ErrorCode::kProtocol, "{} public value is not an uncompressed point of {} bytes", curve.name,
                curve.point_bytes());
  }
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.name, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, value.data(), value.size());
  // Reading the point checks that it is on the curve; with a cofactor of 1 nothing else is to be checked.
  EVP_PKEY* key = from_data("EC", builder.get());
  if (key == nullptr) return fail(ErrorCode::kProtocol, "{} public value is not on the curve", curve.name);
  return key;
}

Result<EVP_PKEY*> load_number(KeyAgreementGroup group, EVP_PKEY* own, BytesView value) {
  const ossl::Bignum prime = number_of(own, OSSL_PKEY_PARAM_FFC_P);
  if (!prime) return fail(ErrorCode::kInternal, "OpenSSL cannot write the group");
  const auto refuse = [] { return fail(ErrorCode::kProtocol, "Diffie-Hellman public value out of range"); };
  if (value.empty() || value.size() > static_cast<std::size_t>(BN_num_bytes(prime.get()))) return refuse();
  const ossl::Bignum number = ossl::bn_from(value);
  // p − 1 is even, so that comparing with p − 1 is comparing with p after its last bit is cleared.
  if (!number || BN_clear_bit(prime.get(), 0) != 1 || BN_is_zero(number.get()) || BN_is_one(number.get()) ||
      BN_cmp(number.get(), prime.get()) >= 0) {
    return refuse();
  }
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, modp_name(group), 0);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, number.get());
  EVP_PKEY* key = from_data("DH", builder.get());
  if (key == nullptr) return refuse();
  return key;
}

}  // namespace

void KeyAgreement::FreeKey::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

Result<KeyAgreement> KeyAgreement::generate(KeyAgreementGroup group) {
  const auto curve = curve_of(group);
  Key key(group == KeyAgreementGroup::kX25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")
          : curve                             ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve->name)
                                              : generate_modp(modp_name(group)));
  if (!key) return fail(ErrorCode::kInternal, "OpenSSL cannot make an ephemeral key");
  Bytes value(curve ? curve->point_bytes() : kX25519Bytes);
  std::size_t size = value.size();
  bool ok = false;
  if (group == KeyAgreementGroup::kX25519) {
    ok = EVP_PKEY_get_raw_public_key(key.get(), value.data(), &size) == 1;
  } else if (curve) {
    ok = EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, value.data(), value.size(), &size) == 1;
  } else if (const ossl::Bignum number = number_of(key.get(), OSSL_PKEY_PARAM_PUB_KEY)) {
    value = ossl::bn_bytes(number.get());
    size = value.size();
    ok = size > 0;
  }
  if (!ok || size != value.size()) return fail(ErrorCode::kInternal, "OpenSSL cannot write an ephemeral public value");
  return KeyAgreement(group, std::move(key), std::move(value));
}

Result<KeyAgreement::Key> KeyAgreement::load_peer(BytesView value) const {
  if (const auto curve = curve_of(group_)) {
    MEZ_TRY(EVP_PKEY* const key, load_point(*curve, value));
    return Key(key);
  }
  if (group_ != KeyAgreementGroup::kX25519) {
    MEZ_TRY(EVP_PKEY* const key, load_number(group_, key_.get(), value));
    return Key(key);
  }
  if (value.size() != kX25519Bytes) {
    return fail(ErrorCode::kProtocol, "X25519 public value of {} bytes instead of {}", value.size(), kX25519Bytes);
  }
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, value.data(), value.size()));
  if (!key) return fail(ErrorCode::kProtocol, "X25519 public value refused");
  return key;
}

Result<Secret> KeyAgreement::agree(BytesView peer_public_value) const {
  const ClearErrors clear;
  MEZ_TRY(const Key peer, load_peer(peer_public_value));
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  const auto refuse = [] { return fail(ErrorCode::kProtocol, "public value refused by the key agreement"); };
  std::size_t size = 0;
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0) != 1 ||
      EVP_PKEY_derive(context.get(), nullptr, &size) != 1) {
    return refuse();
  }
  Secret shared(size);
  if (EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size > shared.size()) return refuse();
  shared.resize(size);
  // Without a branch on how many bytes are zero.
  std::uint8_t any = 0;
  for (const std::uint8_t byte : shared.view()) any |= byte;
  if (any == 0) return fail(ErrorCode::kProtocol, "public value of low order");
  return shared;
}

}  // namespace mezite::crypto
