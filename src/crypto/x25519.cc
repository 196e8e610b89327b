#include "crypto/x25519.hh"

#include "crypto/hash.hh"
#include "crypto/ossl.hh"
#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

Result<ossl::Pkey> load(const Secret& private_key) {
  if (private_key.size() != kX25519KeyBytes) {
    return fail(ErrorCode::kInvalidArgument, "an X25519 private key of {} bytes instead of {}", private_key.size(),
                kX25519KeyBytes);
  }
  ossl::Pkey key(
      EVP_PKEY_new_raw_private_key_ex(nullptr, "X25519", nullptr, private_key.view().data(), private_key.size()));
  if (!key) return fail(ErrorCode::kInternal, "reading an X25519 key: {}", ossl::take_error());
  return key;
}

}  // namespace

Secret x25519_generate() {
  Secret key(kX25519KeyBytes);
  fill_random(std::span(key.data(), key.size()));
  return key;
}

Result<X25519PublicKey> x25519_public(const Secret& private_key) {
  MEZ_TRY(const ossl::Pkey key, load(private_key));
  X25519PublicKey value{};
  std::size_t size = value.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), value.data(), &size) != 1 || size != value.size()) {
    return fail(ErrorCode::kInternal, "writing an X25519 key: {}", ossl::take_error());
  }
  return value;
}

Result<Secret> x25519_agree(const Secret& private_key, const X25519PublicKey& public_key) {
  MEZ_TRY(const ossl::Pkey key, load(private_key));
  const ossl::Pkey peer(
      EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, public_key.data(), public_key.size()));
  const ossl::PkeyCtx context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  Secret shared(kX25519KeyBytes);
  std::size_t size = shared.size();
  // OpenSSL refuses an all-zero result.
  if (!peer || !context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), shared.data(), &size) != 1 || size != shared.size()) {
    ERR_clear_error();
    return fail(ErrorCode::kCorrupt, "an X25519 public key that no honest party makes");
  }
  return shared;
}

Secret hkdf_sha256(BytesView input_key, BytesView salt, BytesView info) {
  Sha256Digest pseudo_random_key = hmac_sha256(salt, input_key);
  Bytes block = to_bytes(info);
  block.push_back(1);
  Sha256Digest output = hmac_sha256(pseudo_random_key, block);
  Secret key{BytesView(output)};
  ::explicit_bzero(pseudo_random_key.data(), pseudo_random_key.size());
  ::explicit_bzero(output.data(), output.size());
  return key;
}

}  // namespace mezite::crypto
