#include "crypto/aead.hh"

#include "crypto/ossl.hh"
#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

const EVP_CIPHER* aes_256_gcm() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher;
}

// Lengths go to OpenSSL as int.
constexpr std::size_t kMaxMessage = std::size_t{1} << 30;

Status check_key(BytesView key) {
  if (key.size() == kAeadKeySize) return {};
  return fail(ErrorCode::kInvalidArgument, "AES-256-GCM key of {} bytes instead of {}", key.size(), kAeadKeySize);
}

}  // namespace

Result<Bytes> aead_seal(BytesView key, BytesView plaintext, BytesView associated_data) {
  Bytes out(plaintext.size() + kAeadOverhead);
  MEZ_CHECK(aead_seal(key, plaintext, associated_data, out));
  return out;
}

Status aead_seal(BytesView key, BytesView plaintext, BytesView associated_data, std::span<std::uint8_t> out) {
  MEZ_CHECK(check_key(key));
  if (plaintext.size() > kMaxMessage || associated_data.size() > kMaxMessage) {
    return fail(ErrorCode::kInvalidArgument, "too much to encrypt at once");
  }
  if (out.size() != plaintext.size() + kAeadOverhead) {
    return fail(ErrorCode::kInvalidArgument, "room of {} bytes for {} and {}", out.size(), plaintext.size(),
                kAeadOverhead);
  }
  fill_random(out.first(kAeadNonceSize));
  const ossl::CipherCtx context(EVP_CIPHER_CTX_new());
  int size = 0;
  int last = 0;
  std::uint8_t* body = out.data() + kAeadNonceSize;
  std::uint8_t* tag = body + plaintext.size();
  const bool ok =
      context && EVP_EncryptInit_ex2(context.get(), aes_256_gcm(), key.data(), out.data(), nullptr) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, associated_data.data(),
                        static_cast<int>(associated_data.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), body, &size, plaintext.data(), static_cast<int>(plaintext.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), tag, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kAeadTagSize), tag) == 1;
  if (!ok) return fail(ErrorCode::kInternal, "encrypting: {}", ossl::take_error());
  return {};
}

Result<Secret> aead_open(BytesView key, BytesView sealed, BytesView associated_data) {
  MEZ_CHECK(check_key(key));
  if (sealed.size() < kAeadNonceSize + kAeadTagSize || sealed.size() > kMaxMessage ||
      associated_data.size() > kMaxMessage) {
    return fail(ErrorCode::kCorrupt, "encrypted value is cut short");
  }
  const BytesView body = sealed.subspan(kAeadNonceSize, sealed.size() - kAeadNonceSize - kAeadTagSize);
  Bytes tag = to_bytes(sealed.last(kAeadTagSize));
  Secret out(body.size());
  const ossl::CipherCtx context(EVP_CIPHER_CTX_new());
  int size = 0;
  int last = 0;
  const bool ok =
      context && EVP_DecryptInit_ex2(context.get(), aes_256_gcm(), key.data(), sealed.data(), nullptr) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &size, associated_data.data(),
                        static_cast<int>(associated_data.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), out.data(), &size, body.data(), static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kAeadTagSize), tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), out.data() + body.size(), &last) == 1;
  if (!ok) {
    ERR_clear_error();
    return fail(ErrorCode::kCorrupt, "encrypted value does not verify: wrong key, or the value was changed");
  }
  return out;
}

}  // namespace mezite::crypto
