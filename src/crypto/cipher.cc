#include "crypto/cipher.hh"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <limits>

namespace mezite::crypto {

namespace internal {
void FreeCipherContext::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }
void FreeMacContext::operator()(evp_mac_ctx_st* context) const { EVP_MAC_CTX_free(context); }
}  // namespace internal

namespace {

// Algorithms are fetched once for the process: an implicit fetch at every initialisation costs more than a packet.
const EVP_CIPHER* aes_ctr(std::size_t key_bytes) {
  static const EVP_CIPHER* const k128 = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
  static const EVP_CIPHER* const k192 = EVP_CIPHER_fetch(nullptr, "AES-192-CTR", nullptr);
  static const EVP_CIPHER* const k256 = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
  switch (key_bytes) {
    case 16: return k128;
    case 24: return k192;
    case 32: return k256;
    default: return nullptr;
  }
}

const EVP_CIPHER* chacha20() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20", nullptr);
  return cipher;
}

EVP_MAC* fetch_mac(const char* name) { return EVP_MAC_fetch(nullptr, name, nullptr); }

bool update(EVP_CIPHER_CTX* context, BytesView from, std::uint8_t* to) {
  if (from.empty()) return true;
  if (from.size() > std::size_t{std::numeric_limits<int>::max()}) return false;
  int written = 0;
  const int size = static_cast<int>(from.size());
  return EVP_EncryptUpdate(context, to, &written, from.data(), size) == 1 && written == size;
}

}  // namespace

Result<AesCtr> AesCtr::create(BytesView key, BytesView initial_counter) {
  const EVP_CIPHER* cipher = aes_ctr(key.size());
  if (cipher == nullptr || initial_counter.size() != 16) {
    return fail(ErrorCode::kInvalidArgument, "AES-CTR with a key of {} and a counter of {} bytes", key.size(),
                initial_counter.size());
  }
  internal::CipherContext context(EVP_CIPHER_CTX_new());
  if (!context || EVP_EncryptInit_ex2(context.get(), cipher, key.data(), initial_counter.data(), nullptr) != 1) {
    return fail(ErrorCode::kInternal, "OpenSSL refuses AES-CTR");
  }
  return AesCtr(std::move(context));
}

bool AesCtr::apply(BytesView from, std::uint8_t* to) { return update(context_.get(), from, to); }

Result<ChaCha20> ChaCha20::create(BytesView key) {
  if (key.size() != 32) {
    return fail(ErrorCode::kInvalidArgument, "ChaCha20 with a key of {} bytes", key.size());
  }
  internal::CipherContext context(EVP_CIPHER_CTX_new());
  const std::array<std::uint8_t, 16> start{};
  if (!context || chacha20() == nullptr ||
      EVP_EncryptInit_ex2(context.get(), chacha20(), key.data(), start.data(), nullptr) != 1) {
    return fail(ErrorCode::kInternal, "OpenSSL refuses ChaCha20");
  }
  return ChaCha20(std::move(context));
}

bool ChaCha20::seek(std::uint64_t nonce) {
  // OpenSSL's IV is the block counter (little endian) and then the nonce.
  std::array<std::uint8_t, 16> iv{};
  for (std::size_t i = 0; i < 8; ++i) iv[8 + i] = static_cast<std::uint8_t>(nonce >> (56 - 8 * i));
  return EVP_EncryptInit_ex2(context_.get(), nullptr, nullptr, iv.data(), nullptr) == 1;
}

bool ChaCha20::apply(BytesView from, std::uint8_t* to) { return update(context_.get(), from, to); }

Result<Poly1305> Poly1305::create() {
  static EVP_MAC* const mac = fetch_mac("POLY1305");
  internal::MacContext context(mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac));
  if (!context) return fail(ErrorCode::kInternal, "OpenSSL refuses Poly1305");
  return Poly1305(std::move(context));
}

bool Poly1305::compute(BytesView one_time_key, BytesView message, std::span<std::uint8_t, kTagBytes> tag) {
  std::size_t written = 0;
  return one_time_key.size() == 32 &&
         EVP_MAC_init(context_.get(), one_time_key.data(), one_time_key.size(), nullptr) == 1 &&
         EVP_MAC_update(context_.get(), message.data(), message.size()) == 1 &&
         EVP_MAC_final(context_.get(), tag.data(), &written, tag.size()) == 1 && written == kTagBytes;
}

Result<KeyedHmac> KeyedHmac::create(HmacHash hash, BytesView key) {
  static EVP_MAC* const mac = fetch_mac("HMAC");
  internal::MacContext context(mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac));
  char sha256[] = "SHA256";
  char sha512[] = "SHA512";
  const std::array<OSSL_PARAM, 2> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash == HmacHash::kSha256 ? sha256 : sha512, 0),
      OSSL_PARAM_construct_end()};
  if (!context || EVP_MAC_init(context.get(), key.data(), key.size(), parameters.data()) != 1) {
    return fail(ErrorCode::kInternal, "OpenSSL refuses HMAC");
  }
  return KeyedHmac(std::move(context), hash == HmacHash::kSha256 ? 32 : 64);
}

bool KeyedHmac::compute(BytesView first, BytesView second, std::span<std::uint8_t, kMaxTagBytes> tag) {
  std::size_t written = 0;
  return EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1 &&
         EVP_MAC_update(context_.get(), first.data(), first.size()) == 1 &&
         EVP_MAC_update(context_.get(), second.data(), second.size()) == 1 &&
         EVP_MAC_final(context_.get(), tag.data(), &written, tag.size()) == 1 && written == tag_bytes_;
}

}  // namespace mezite::crypto
