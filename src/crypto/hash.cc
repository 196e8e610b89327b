#include "crypto/hash.hh"

#include <openssl/core_names.h>

#include <utility>

#include "crypto/ossl.hh"

namespace mezite::crypto {
namespace {

// Fetched once: an implicit fetch on each use takes a lock and a look-up (OpenSSL 3 migration guide).
const EVP_MD* md(HashAlgorithm algorithm) {
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  static EVP_MD* const sha384 = EVP_MD_fetch(nullptr, "SHA2-384", nullptr);
  static EVP_MD* const sha512 = EVP_MD_fetch(nullptr, "SHA2-512", nullptr);
  switch (algorithm) {
    case HashAlgorithm::kSha256: return sha256;
    case HashAlgorithm::kSha384: return sha384;
    case HashAlgorithm::kSha512: return sha512;
  }
  return sha256;
}

const char* digest_name(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256: return "SHA2-256";
    case HashAlgorithm::kSha384: return "SHA2-384";
    case HashAlgorithm::kSha512: return "SHA2-512";
  }
  return "SHA2-256";
}

template <class Digest>
Digest one_shot(HashAlgorithm algorithm, BytesView data) {
  Digest out;
  ossl::require(EVP_Digest(data.data(), data.size(), out.data(), nullptr, md(algorithm), nullptr) == 1, "hash");
  return out;
}

template <class Digest>
Digest one_shot_hmac(HashAlgorithm algorithm, BytesView key, BytesView data) {
  Hmac mac(algorithm, key);
  const Bytes tag = mac.update(data).finish();
  Digest out;
  std::copy(tag.begin(), tag.end(), out.begin());
  return out;
}

EVP_MAC* hmac_method() {
  static EVP_MAC* const method = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  return method;
}

}  // namespace

Sha256Digest sha256(BytesView data) { return one_shot<Sha256Digest>(HashAlgorithm::kSha256, data); }
Sha384Digest sha384(BytesView data) { return one_shot<Sha384Digest>(HashAlgorithm::kSha384, data); }
Sha512Digest sha512(BytesView data) { return one_shot<Sha512Digest>(HashAlgorithm::kSha512, data); }

std::size_t hash_size(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256: return 32;
    case HashAlgorithm::kSha384: return 48;
    case HashAlgorithm::kSha512: return 64;
  }
  return 32;
}

Bytes hash(HashAlgorithm algorithm, BytesView data) {
  Bytes out(hash_size(algorithm));
  ossl::require(EVP_Digest(data.data(), data.size(), out.data(), nullptr, md(algorithm), nullptr) == 1, "hash");
  return out;
}

Sha256Digest hmac_sha256(BytesView key, BytesView data) {
  return one_shot_hmac<Sha256Digest>(HashAlgorithm::kSha256, key, data);
}
Sha512Digest hmac_sha512(BytesView key, BytesView data) {
  return one_shot_hmac<Sha512Digest>(HashAlgorithm::kSha512, key, data);
}

std::array<std::uint8_t, 20> hmac_sha1_for_known_hosts(BytesView key, BytesView data) {
  std::array<std::uint8_t, 20> out{};
  ossl::require(EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA1", nullptr, key.data(), key.size(), data.data(), data.size(),
                          out.data(), out.size(), nullptr) != nullptr,
                "HMAC");
  return out;
}

Hasher::Hasher(HashAlgorithm algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  ossl::require(context_ != nullptr && EVP_DigestInit_ex(context_, md(algorithm), nullptr) == 1, "hash");
}
Hasher::~Hasher() { EVP_MD_CTX_free(context_); }
Hasher::Hasher(Hasher&& other) noexcept
    : algorithm_(other.algorithm_), context_(std::exchange(other.context_, nullptr)) {}
Hasher& Hasher::operator=(Hasher&& other) noexcept {
  std::swap(algorithm_, other.algorithm_);
  std::swap(context_, other.context_);
  return *this;
}

Hasher& Hasher::update(BytesView data) {
  ossl::require(EVP_DigestUpdate(context_, data.data(), data.size()) == 1, "hash");
  return *this;
}

Bytes Hasher::finish() {
  Bytes out(hash_size(algorithm_));
  ossl::require(EVP_DigestFinal_ex(context_, out.data(), nullptr) == 1, "hash");
  ossl::require(EVP_DigestInit_ex(context_, md(algorithm_), nullptr) == 1, "hash");
  return out;
}

Hmac::Hmac(HashAlgorithm algorithm, BytesView key)
    : size_(hash_size(algorithm)), context_(EVP_MAC_CTX_new(hmac_method())) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>(digest_name(algorithm)), 0),
      OSSL_PARAM_construct_end()};
  // OpenSSL takes a null key for "the key before", so an empty one needs an address.
  static const std::uint8_t kNoKey = 0;
  const std::uint8_t* start = key.empty() ? &kNoKey : key.data();
  ossl::require(context_ != nullptr && EVP_MAC_init(context_, start, key.size(), params) == 1, "HMAC");
}
Hmac::~Hmac() { EVP_MAC_CTX_free(context_); }
Hmac::Hmac(Hmac&& other) noexcept : size_(other.size_), context_(std::exchange(other.context_, nullptr)) {}
Hmac& Hmac::operator=(Hmac&& other) noexcept {
  std::swap(size_, other.size_);
  std::swap(context_, other.context_);
  return *this;
}

Hmac& Hmac::update(BytesView data) {
  ossl::require(EVP_MAC_update(context_, data.data(), data.size()) == 1, "HMAC");
  return *this;
}

Bytes Hmac::finish() {
  Bytes out(size_);
  std::size_t size = 0;
  ossl::require(EVP_MAC_final(context_, out.data(), &size, out.size()) == 1 && size == size_, "HMAC");
  ossl::require(EVP_MAC_init(context_, nullptr, 0, nullptr) == 1, "HMAC");
  return out;
}

}  // namespace mezite::crypto
