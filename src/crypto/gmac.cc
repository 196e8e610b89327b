#include "crypto/gmac.hh"

#include "crypto/ossl.hh"

namespace mezite::crypto {

GmacTag one_time_gmac(BytesView key, std::span<const BytesView> parts) {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static constexpr std::array<std::uint8_t, 12> kNonce{};
  ossl::require(key.size() == kGmacKeyBytes, "the key of a GMAC");
  // A context of its own: freeing it wipes the expanded key.
  const ossl::CipherCtx context(EVP_CIPHER_CTX_new());
  bool ok = context && EVP_EncryptInit_ex2(context.get(), cipher, key.data(), kNonce.data(), nullptr) == 1;
  int size = 0;
  for (const BytesView part : parts) {
    if (part.empty()) continue;
    ok = ok && EVP_EncryptUpdate(context.get(), nullptr, &size, part.data(), static_cast<int>(part.size())) == 1;
  }
  GmacTag tag{};
  ok = ok && EVP_EncryptFinal_ex(context.get(), tag.data(), &size) == 1 &&
       EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1;
  ossl::require(ok, "GMAC");
  return tag;
}

}  // namespace mezite::crypto
