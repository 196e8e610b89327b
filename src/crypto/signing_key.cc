#include "crypto/signing_key.hh"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <array>
#include <climits>
#include <optional>

#include "crypto/hash.hh"
#include "crypto/ossl.hh"

namespace mezite::crypto {
namespace {

struct Curve {
  const char* group;
  std::size_t field_bytes;  // of a coordinate, and of r and s: for these three curves the order is as wide
};

std::optional<Curve> curve_of(KeyAlgorithm algorithm) {
  switch (algorithm) {
    case KeyAlgorithm::kEcdsaP256: return Curve{"prime256v1", 32};
    case KeyAlgorithm::kEcdsaP384: return Curve{"secp384r1", 48};
    case KeyAlgorithm::kEcdsaP521: return Curve{"secp521r1", 66};
    case KeyAlgorithm::kEd25519:
    case KeyAlgorithm::kRsa: break;
  }
  return std::nullopt;
}

Result<KeyAlgorithm> algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyAlgorithm::kEd25519;
  if (EVP_PKEY_is_a(key, "RSA")) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < kMinRsaBits || bits > kMaxRsaBits) {
      return fail(ErrorCode::kInvalidArgument, "RSA key of {} bits; {} to {} are taken", bits, kMinRsaBits,
                  kMaxRsaBits);
    }
    return KeyAlgorithm::kRsa;
  }
  std::array<char, 64> group{};
  if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1) {
    const std::string_view name = group.data();
    if (name == "prime256v1") return KeyAlgorithm::kEcdsaP256;
    if (name == "secp384r1") return KeyAlgorithm::kEcdsaP384;
    if (name == "secp521r1") return KeyAlgorithm::kEcdsaP521;
  }
  return fail(ErrorCode::kInvalidArgument, "unsupported kind of key; Ed25519, ECDSA P-256/384/521 and RSA are taken");
}

const EVP_MD* md_of(SignatureHash hash) {
  switch (hash) {
    case SignatureHash::kNone: return nullptr;
    case SignatureHash::kSha256: return EVP_sha256();
    case SignatureHash::kSha384: return EVP_sha384();
    case SignatureHash::kSha512: return EVP_sha512();
  }
  return nullptr;
}

bool hash_fits(KeyAlgorithm algorithm, SignatureHash hash) {
  return (algorithm == KeyAlgorithm::kEd25519) == (hash == SignatureHash::kNone);
}

Result<std::shared_ptr<EVP_PKEY>> from_data(const char* type, int selection, OSSL_PARAM_BLD* builder) {
  const ossl::Params params(OSSL_PARAM_BLD_to_param(builder));
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, selection, params.get()) != 1) {
    return fail(ErrorCode::kInvalidArgument, "not a valid {} key: {}", type, ossl::take_error());
  }
  return ossl::share(key);
}

// ECDSA signatures are DER inside OpenSSL and r ‖ s outside.
Result<Bytes> der_to_fixed(BytesView der, std::size_t width) {
  const unsigned char* at = der.data();
  const ossl::EcdsaSig signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return fail(ErrorCode::kInternal, "signing: {}", ossl::take_error());
  Bytes out(2 * width);
  const int size = static_cast<int>(width);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out.data(), size) != size ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out.data() + width, size) != size) {
    return fail(ErrorCode::kInternal, "signing: number too wide");
  }
  return out;
}

std::optional<Bytes> fixed_to_der(BytesView fixed, std::size_t width) {
  if (fixed.size() != 2 * width) return std::nullopt;
  const ossl::EcdsaSig signature(ECDSA_SIG_new());
  ossl::Bignum r = ossl::bn_from(fixed.first(width));
  ossl::Bignum s = ossl::bn_from(fixed.last(width));
  if (!signature || !r || !s) return std::nullopt;
  ECDSA_SIG_set0(signature.get(), r.release(), s.release());
  Bytes der(static_cast<std::size_t>(i2d_ECDSA_SIG(signature.get(), nullptr)));
  unsigned char* at = der.data();
  i2d_ECDSA_SIG(signature.get(), &at);
  return der;
}

BytesView strip_zeros(BytesView magnitude) {
  while (!magnitude.empty() && magnitude[0] == 0) magnitude = magnitude.subspan(1);
  return magnitude;
}

// All that can be said of the numbers without arithmetic, so that a hostile key costs nothing.
Status check_rsa_numbers(BytesView modulus, BytesView exponent) {
  if (modulus.empty() || exponent.empty()) return fail(ErrorCode::kInvalidArgument, "RSA key with a number of zero");
  const std::size_t bits = modulus.size() * 8 - static_cast<std::size_t>(__builtin_clz(modulus[0]) - 24);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return fail(ErrorCode::kInvalidArgument, "RSA key of {} bits; {} to {} are taken", bits, kMinRsaBits, kMaxRsaBits);
  }
  if ((modulus.back() & 1) == 0) return fail(ErrorCode::kInvalidArgument, "RSA key with an even modulus");
  if (exponent.size() > 4 || (exponent.back() & 1) == 0 || (exponent.size() == 1 && exponent[0] < 3)) {
    return fail(ErrorCode::kInvalidArgument, "RSA key with a public exponent that is even, under 3 or over 32 bits");
  }
  return {};
}

ossl::Bignum get_number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  return ossl::Bignum(number);
}

}  // namespace

Result<VerifyingKey> VerifyingKey::from_handle(std::shared_ptr<evp_pkey_st> key) {
  MEZ_TRY(const KeyAlgorithm algorithm, algorithm_of(key.get()));
  return VerifyingKey(algorithm, std::move(key));
}

Result<VerifyingKey> VerifyingKey::ed25519(BytesView raw) {
  if (raw.size() != 32) return fail(ErrorCode::kInvalidArgument, "Ed25519 key of {} bytes instead of 32", raw.size());
  EVP_PKEY* key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size());
  if (key == nullptr) return fail(ErrorCode::kInvalidArgument, "not an Ed25519 key: {}", ossl::take_error());
  return VerifyingKey(KeyAlgorithm::kEd25519, ossl::share(key));
}

Result<VerifyingKey> VerifyingKey::ecdsa(KeyAlgorithm curve, BytesView point) {
  const auto parameters = curve_of(curve);
  if (!parameters) return fail(ErrorCode::kInvalidArgument, "not an ECDSA curve");
  // Only the uncompressed form (SEC 1 §2.3.3): compressed points cost a square root, infinity is one byte.
  if (point.size() != 1 + 2 * parameters->field_bytes || point[0] != 4) {
    return fail(ErrorCode::kInvalidArgument, "ECDSA key is not an uncompressed point of its curve");
  }
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, parameters->group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  MEZ_TRY(auto key, from_data("EC", EVP_PKEY_PUBLIC_KEY, builder.get()));  // checks that the point is on the curve
  return VerifyingKey(curve, std::move(key));
}

Result<VerifyingKey> VerifyingKey::rsa(const RsaPublicNumbers& numbers) {
  const BytesView modulus = strip_zeros(numbers.modulus);
  const BytesView exponent = strip_zeros(numbers.exponent);
  MEZ_CHECK(check_rsa_numbers(modulus, exponent));
  const ossl::Bignum n = ossl::bn_from(modulus);
  const ossl::Bignum e = ossl::bn_from(exponent);
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  MEZ_TRY(auto key, from_data("RSA", EVP_PKEY_PUBLIC_KEY, builder.get()));
  return VerifyingKey(KeyAlgorithm::kRsa, std::move(key));
}

Result<VerifyingKey> VerifyingKey::from_spki(BytesView der) {
  const unsigned char* at = der.data();
  ossl::Pkey key(der.size() > 16384 ? nullptr : d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key || at != der.data() + der.size()) {
    ossl::take_error();
    return fail(ErrorCode::kInvalidArgument, "not a public key in DER (SubjectPublicKeyInfo)");
  }
  auto shared = ossl::share(key.release());
  MEZ_TRY(auto parsed, from_handle(std::move(shared)));
  if (parsed.algorithm() == KeyAlgorithm::kRsa) {
    const auto numbers = parsed.rsa_numbers();
    MEZ_CHECK(check_rsa_numbers(numbers.modulus, numbers.exponent));
  }
  return parsed;
}

int VerifyingKey::bits() const { return EVP_PKEY_get_bits(key_.get()); }

Bytes VerifyingKey::spki() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  ossl::require(size > 0, "SubjectPublicKeyInfo");
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

std::string VerifyingKey::spki_sha256_hex() const { return to_hex(sha256(spki())); }

Bytes VerifyingKey::raw() const {
  if (algorithm_ == KeyAlgorithm::kRsa) return {};
  if (algorithm_ == KeyAlgorithm::kEd25519) {
    Bytes out(32);
    std::size_t size = out.size();
    ossl::require(EVP_PKEY_get_raw_public_key(key_.get(), out.data(), &size) == 1, "raw key");
    return out;
  }
  // Put together from the coordinates: a key read from a file may be set to its compressed form.
  const std::size_t width = curve_of(algorithm_)->field_bytes;
  const ossl::Bignum x = get_number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X);
  const ossl::Bignum y = get_number(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
  ossl::require(x && y, "coordinates");
  Bytes out(1 + 2 * width);
  out[0] = 4;
  BN_bn2binpad(x.get(), out.data() + 1, static_cast<int>(width));
  BN_bn2binpad(y.get(), out.data() + 1 + width, static_cast<int>(width));
  return out;
}

RsaPublicNumbers VerifyingKey::rsa_numbers() const {
  if (algorithm_ != KeyAlgorithm::kRsa) return {};
  const ossl::Bignum n = get_number(key_.get(), OSSL_PKEY_PARAM_RSA_N);
  const ossl::Bignum e = get_number(key_.get(), OSSL_PKEY_PARAM_RSA_E);
  ossl::require(n && e, "RSA numbers");
  return {ossl::bn_bytes(n.get()), ossl::bn_bytes(e.get())};
}

Status VerifyingKey::verify(SignatureHash hash, BytesView message, BytesView signature) const {
  const auto refuse = [] {
    ERR_clear_error();
    return fail(ErrorCode::kUnauthenticated, "signature does not verify");
  };
  if (!hash_fits(algorithm_, hash)) return refuse();
  Bytes der;
  if (const auto curve = curve_of(algorithm_)) {
    auto converted = fixed_to_der(signature, curve->field_bytes);
    if (!converted) return refuse();
    der = std::move(*converted);
    signature = der;
  }
  const ossl::MdCtx context(EVP_MD_CTX_new());
  if (!context || EVP_DigestVerifyInit(context.get(), nullptr, md_of(hash), nullptr, key_.get()) != 1 ||
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) != 1) {
    return refuse();
  }
  return {};
}

Result<SigningKey> SigningKey::checked(std::shared_ptr<evp_pkey_st> key) {
  MEZ_TRY(auto public_key, VerifyingKey::from_handle(std::move(key)));
  return SigningKey(std::move(public_key));
}

Result<SigningKey> SigningKey::generate(KeyAlgorithm algorithm, int rsa_bits) {
  EVP_PKEY* key = nullptr;
  if (algorithm == KeyAlgorithm::kEd25519) {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  } else if (algorithm == KeyAlgorithm::kRsa) {
    if (rsa_bits < kMinRsaBits || rsa_bits > kMaxRsaBits) {
      return fail(ErrorCode::kInvalidArgument, "RSA key of {} bits; {} to {} are taken", rsa_bits, kMinRsaBits,
                  kMaxRsaBits);
    }
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(rsa_bits));
  } else {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve_of(algorithm)->group);
  }
  if (key == nullptr) return fail(ErrorCode::kInternal, "generating a key: {}", ossl::take_error());
  return SigningKey(VerifyingKey(algorithm, ossl::share(key)));
}

Result<SigningKey> SigningKey::from_pkcs8(BytesView der) {
  const unsigned char* at = der.data();
  ossl::Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(std::min<std::size_t>(der.size(), LONG_MAX))));
  EVP_PKEY* key = info && at == der.data() + der.size() ? EVP_PKCS82PKEY(info.get()) : nullptr;
  if (key == nullptr) {
    ossl::take_error();
    return fail(ErrorCode::kInvalidArgument, "not an unencrypted private key (PKCS #8)");
  }
  return checked(ossl::share(key));
}

Result<SigningKey> SigningKey::from_pem(std::string_view pem) {
  const ossl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<std::size_t>(pem.size(), INT_MAX))));
  // The callback stands in for OpenSSL's own, which would ask for a passphrase on the terminal.
  bool encrypted = false;
  const auto no_passphrase = [](char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
  };
  EVP_PKEY* key = bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &encrypted) : nullptr;
  if (key == nullptr) {
    ossl::take_error();
    if (encrypted)
      return fail(ErrorCode::kFailedPrecondition, "the private key is encrypted; give one without a passphrase");
    return fail(ErrorCode::kInvalidArgument, "not a private key in PEM");
  }
  return checked(ossl::share(key));
}

Result<SigningKey> SigningKey::from_ed25519_seed(BytesView seed) {
  if (seed.size() != 32)
    return fail(ErrorCode::kInvalidArgument, "Ed25519 seed of {} bytes instead of 32", seed.size());
  EVP_PKEY* key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size());
  if (key == nullptr) return fail(ErrorCode::kInvalidArgument, "not an Ed25519 key: {}", ossl::take_error());
  return SigningKey(VerifyingKey(KeyAlgorithm::kEd25519, ossl::share(key)));
}

Result<SigningKey> SigningKey::from_ecdsa(KeyAlgorithm curve, BytesView point, BytesView scalar) {
  MEZ_TRY(const auto public_key, VerifyingKey::ecdsa(curve, point));
  const auto parameters = curve_of(curve);
  if (strip_zeros(scalar).size() > parameters->field_bytes) {
    return fail(ErrorCode::kInvalidArgument, "ECDSA private key is too long for its curve");
  }
  const ossl::Bignum number = ossl::bn_from(scalar);
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, parameters->group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get());
  MEZ_TRY(auto key, from_data("EC", EVP_PKEY_KEYPAIR, builder.get()));
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!context || EVP_PKEY_pairwise_check(context.get()) != 1) {
    ossl::take_error();
    return fail(ErrorCode::kInvalidArgument, "ECDSA private key does not belong to its public key");
  }
  return SigningKey(VerifyingKey(curve, std::move(key)));
}

Result<SigningKey> SigningKey::from_rsa(const RsaPublicNumbers& numbers, const RsaPrivateNumbers& private_numbers) {
  const BytesView modulus = strip_zeros(numbers.modulus);
  const BytesView exponent = strip_zeros(numbers.exponent);
  MEZ_CHECK(check_rsa_numbers(modulus, exponent));
  const ossl::Bignum n = ossl::bn_from(modulus), e = ossl::bn_from(exponent);
  const ossl::Bignum d = ossl::bn_from(private_numbers.d.view()), p = ossl::bn_from(private_numbers.p.view());
  const ossl::Bignum q = ossl::bn_from(private_numbers.q.view()), iqmp = ossl::bn_from(private_numbers.iqmp.view());
  const ossl::Bignum dp(BN_secure_new()), dq(BN_secure_new()), less_one(BN_secure_new());
  const ossl::Owned<BN_CTX, BN_CTX_free> work(BN_CTX_new());
  if (!n || !e || !d || !p || !q || !iqmp || !dp || !dq || !less_one || !work || BN_is_zero(p.get()) ||
      BN_is_zero(q.get()) || BN_num_bits(d.get()) > kMaxRsaBits || BN_num_bits(p.get()) > kMaxRsaBits ||
      BN_num_bits(q.get()) > kMaxRsaBits) {
    return fail(ErrorCode::kInvalidArgument, "RSA private key with impossible numbers");
  }
  // The format leaves out the two CRT exponents: d mod (p − 1) and d mod (q − 1).
  if (BN_sub(less_one.get(), p.get(), BN_value_one()) != 1 ||
      BN_mod(dp.get(), d.get(), less_one.get(), work.get()) != 1 ||
      BN_sub(less_one.get(), q.get(), BN_value_one()) != 1 ||
      BN_mod(dq.get(), d.get(), less_one.get(), work.get()) != 1) {
    ossl::take_error();
    return fail(ErrorCode::kInvalidArgument, "RSA private key with impossible numbers");
  }
  const ossl::ParamBld builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_D, d.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_FACTOR1, p.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_FACTOR2, q.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_EXPONENT1, dp.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_EXPONENT2, dq.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_COEFFICIENT1, iqmp.get());
  MEZ_TRY(auto key, from_data("RSA", EVP_PKEY_KEYPAIR, builder.get()));
  SigningKey parsed(VerifyingKey(KeyAlgorithm::kRsa, std::move(key)));
  // A signature that verifies shows that the numbers belong together, for far less than a primality check.
  MEZ_TRY(const Bytes signature, parsed.sign(SignatureHash::kSha256, {}));
  if (!parsed.public_key().verify(SignatureHash::kSha256, {}, signature)) {
    return fail(ErrorCode::kInvalidArgument, "RSA private key does not belong to its public key");
  }
  return parsed;
}

Result<Secret> SigningKey::to_pkcs8() const {
  const ossl::Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(handle()));
  const int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr) : 0;
  if (size <= 0) return fail(ErrorCode::kInternal, "writing a private key: {}", ossl::take_error());
  Secret out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at);
  return out;
}

Result<Secret> SigningKey::to_pem() const {
  const ossl::Bio bio(BIO_new(BIO_s_secmem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), handle(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(ErrorCode::kInternal, "writing a private key: {}", ossl::take_error());
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return Secret(std::string_view(data, static_cast<std::size_t>(size)));
}

Result<Secret> SigningKey::private_raw() const {
  if (algorithm() == KeyAlgorithm::kEd25519) {
    Secret out(std::size_t{32});
    std::size_t size = out.size();
    if (EVP_PKEY_get_raw_private_key(handle(), out.data(), &size) != 1) {
      return fail(ErrorCode::kInternal, "reading a private key: {}", ossl::take_error());
    }
    return out;
  }
  const auto curve = curve_of(algorithm());
  if (!curve) return fail(ErrorCode::kInvalidArgument, "an RSA key has no raw form");
  const ossl::Bignum scalar = get_number(handle(), OSSL_PKEY_PARAM_PRIV_KEY);
  if (!scalar) return fail(ErrorCode::kInternal, "reading a private key: {}", ossl::take_error());
  Secret out(curve->field_bytes);
  BN_bn2binpad(scalar.get(), out.data(), static_cast<int>(out.size()));
  return out;
}

Result<RsaPrivateNumbers> SigningKey::rsa_private_numbers() const {
  const auto read = [this](const char* name) {
    const ossl::Bignum number = get_number(handle(), name);
    Secret out(number ? static_cast<std::size_t>(BN_num_bytes(number.get())) : 0);
    if (number) BN_bn2bin(number.get(), out.data());
    return out;
  };
  if (algorithm() != KeyAlgorithm::kRsa) return fail(ErrorCode::kInvalidArgument, "not an RSA key");
  RsaPrivateNumbers numbers{read(OSSL_PKEY_PARAM_RSA_D), read(OSSL_PKEY_PARAM_RSA_FACTOR1),
                            read(OSSL_PKEY_PARAM_RSA_FACTOR2), read(OSSL_PKEY_PARAM_RSA_COEFFICIENT1)};
  if (numbers.d.empty() || numbers.p.empty() || numbers.q.empty() || numbers.iqmp.empty()) {
    return fail(ErrorCode::kInvalidArgument, "RSA key without its primes");
  }
  return numbers;
}

Result<Bytes> SigningKey::sign(SignatureHash hash, BytesView message) const {
  if (!hash_fits(algorithm(), hash)) return fail(ErrorCode::kInvalidArgument, "this key does not sign with that hash");
  const ossl::MdCtx context(EVP_MD_CTX_new());
  std::size_t size = static_cast<std::size_t>(std::max(0, EVP_PKEY_get_size(handle())));
  Bytes out(size);
  if (!context || EVP_DigestSignInit(context.get(), nullptr, md_of(hash), nullptr, handle()) != 1 ||
      EVP_DigestSign(context.get(), out.data(), &size, message.data(), message.size()) != 1) {
    return fail(ErrorCode::kInternal, "signing: {}", ossl::take_error());
  }
  out.resize(size);
  if (const auto curve = curve_of(algorithm())) return der_to_fixed(out, curve->field_bytes);
  return out;
}

}  // namespace mezite::crypto
