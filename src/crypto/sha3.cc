#include "crypto/sha3.hh"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

namespace mezite::crypto {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Fails only when memory is gone or OpenSSL lacks an algorithm that it always has; neither can be gone on from.
void digest(const EVP_MD* algorithm, BytesView a, BytesView b, std::span<std::uint8_t> out) {
  thread_local std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  bool extendable = (EVP_MD_get_flags(algorithm) & EVP_MD_FLAG_XOF) != 0;
  unsigned size = 0;
  if (!context || EVP_DigestInit_ex(context.get(), algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), a.data(), a.size()) != 1 ||
      EVP_DigestUpdate(context.get(), b.data(), b.size()) != 1 ||
      (extendable ? EVP_DigestFinalXOF(context.get(), out.data(), out.size())
                  : EVP_DigestFinal_ex(context.get(), out.data(), &size)) != 1) {
    std::abort();
  }
}

}  // namespace

std::array<std::uint8_t, 32> sha3_256(BytesView a, BytesView b) {
  std::array<std::uint8_t, 32> out;
  digest(EVP_sha3_256(), a, b, out);
  return out;
}

std::array<std::uint8_t, 64> sha3_512(BytesView a, BytesView b) {
  std::array<std::uint8_t, 64> out;
  digest(EVP_sha3_512(), a, b, out);
  return out;
}

void shake128(BytesView a, BytesView b, std::span<std::uint8_t> out) { digest(EVP_shake128(), a, b, out); }
void shake256(BytesView a, BytesView b, std::span<std::uint8_t> out) { digest(EVP_shake256(), a, b, out); }

}  // namespace mezite::crypto
