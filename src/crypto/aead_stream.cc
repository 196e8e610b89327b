#include "crypto/aead_stream.hh"

#include <openssl/evp.h>

#include <array>
#include <limits>

namespace mezite::crypto {

namespace {

const EVP_CIPHER* aes_gcm(std::size_t key_bytes) {
  static const EVP_CIPHER* const k128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const k256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  switch (key_bytes) {
    case 16: return k128;
    case 32: return k256;
    default: return nullptr;
  }
}

// The calls run either way, as the context knows its direction.
bool start(EVP_CIPHER_CTX* context, const std::uint8_t* nonce, BytesView associated) {
  int written = 0;
  return associated.size() <= 64 && EVP_CipherInit_ex2(context, nullptr, nullptr, nonce, -1, nullptr) == 1 &&
         EVP_CipherUpdate(context, nullptr, &written, associated.data(), static_cast<int>(associated.size())) == 1;
}

bool run(EVP_CIPHER_CTX* context, BytesView from, std::uint8_t* to) {
  if (from.size() > std::size_t{std::numeric_limits<int>::max()}) return false;
  int written = 0;
  return from.empty() || EVP_CipherUpdate(context, to, &written, from.data(), static_cast<int>(from.size())) == 1;
}

}  // namespace

Result<AesGcmStream> AesGcmStream::create(AeadDirection direction, BytesView key) {
  const EVP_CIPHER* cipher = aes_gcm(key.size());
  if (cipher == nullptr) {
    return fail(ErrorCode::kInvalidArgument, "AES-GCM with a key of {} bytes", key.size());
  }
  internal::CipherContext context(EVP_CIPHER_CTX_new());
  if (!context || EVP_CipherInit_ex2(context.get(), cipher, key.data(), nullptr,
                                     direction == AeadDirection::kSeal ? 1 : 0, nullptr) != 1) {
    return fail(ErrorCode::kInternal, "OpenSSL refuses AES-GCM");
  }
  return AesGcmStream(std::move(context));
}

bool AesGcmStream::seal(std::span<const std::uint8_t, kNonceBytes> nonce, BytesView associated,
                        std::span<std::uint8_t> bytes, std::size_t at, BytesView text,
                        std::span<std::uint8_t, kTagBytes> tag) {
  if (at > bytes.size() || text.size() > bytes.size() - at) return false;
  int written = 0;
  std::array<std::uint8_t, 16> rest;
  const auto before = bytes.first(at);
  const auto behind = bytes.subspan(at + text.size());
  return start(context_.get(), nonce.data(), associated) && run(context_.get(), before, before.data()) &&
         run(context_.get(), text, bytes.data() + at) && run(context_.get(), behind, behind.data()) &&
         EVP_CipherFinal_ex(context_.get(), rest.data(), &written) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data()) == 1;
}

bool AesGcmStream::open(std::span<const std::uint8_t, kNonceBytes> nonce, BytesView associated,
                        std::span<std::uint8_t> bytes, std::span<const std::uint8_t, kTagBytes> tag) {
  int written = 0;
  std::array<std::uint8_t, 16> rest;
  std::array<std::uint8_t, kTagBytes> expected;  // OpenSSL's interface wants it writable
  std::copy(tag.begin(), tag.end(), expected.begin());
  return start(context_.get(), nonce.data(), associated) && run(context_.get(), bytes, bytes.data()) &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, expected.data()) == 1 &&
         EVP_CipherFinal_ex(context_.get(), rest.data(), &written) == 1;
}

}  // namespace mezite::crypto
