#include "crypto/gmac.hh"

#include "crypto/ossl.hh"

namespace mezite::crypto {

struct OneTimeGmac::Context {
  ossl::CipherCtx cipher{EVP_CIPHER_CTX_new()};  // of its own: freeing it wipes the expanded key
  bool ok = cipher != nullptr;
};

OneTimeGmac::OneTimeGmac(OneTimeGmac&&) noexcept = default;
OneTimeGmac& OneTimeGmac::operator=(OneTimeGmac&&) noexcept = default;
OneTimeGmac::~OneTimeGmac() = default;

OneTimeGmac::OneTimeGmac(BytesView key) : context_(std::make_unique<Context>()) {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static constexpr std::array<std::uint8_t, 12> kNonce{};
  ossl::require(key.size() == kGmacKeyBytes, "the key of a GMAC");
  bool& ok = context_->ok;
  ok = ok && EVP_EncryptInit_ex2(context_->cipher.get(), cipher, key.data(), kNonce.data(), nullptr) == 1;
}

void OneTimeGmac::update(BytesView bytes) {
  if (bytes.empty()) return;
  int size = 0;
  bool& ok = context_->ok;
  ok = ok &&
       EVP_EncryptUpdate(context_->cipher.get(), nullptr, &size, bytes.data(), static_cast<int>(bytes.size())) == 1;
}

GmacTag OneTimeGmac::finish() {
  GmacTag tag{};
  int size = 0;
  EVP_CIPHER_CTX* const cipher = context_->cipher.get();
  const bool ok = context_->ok && EVP_EncryptFinal_ex(cipher, tag.data(), &size) == 1 &&
                  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1;
  ossl::require(ok, "GMAC");
  return tag;
}

GmacTag one_time_gmac(BytesView key, std::span<const BytesView> parts) {
  OneTimeGmac mac(key);
  for (const BytesView part : parts) mac.update(part);
  return mac.finish();
}

}  // namespace mezite::crypto
