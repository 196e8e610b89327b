// Stream ciphers and message authentication as SSH's packet protections use them: contexts are made once per key and
// kept; a packet costs an initialisation with its nonce and the bytes themselves. Nothing here allocates after
// create(). Objects move, are used from one thread, and wipe their keys when destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.hh"
#include "base/result.hh"

struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace mezite::crypto {

namespace internal {
struct FreeCipherContext {
  void operator()(evp_cipher_ctx_st* context) const;
};
struct FreeMacContext {
  void operator()(evp_mac_ctx_st* context) const;
};
using CipherContext = std::unique_ptr<evp_cipher_ctx_st, FreeCipherContext>;
using MacContext = std::unique_ptr<evp_mac_ctx_st, FreeMacContext>;
}  // namespace internal

// AES in counter mode as one endless key stream (RFC 4344 §4).
class AesCtr {
 public:
  // Key of 16, 24 or 32 bytes; counter block of 16.
  static Result<AesCtr> create(BytesView key, BytesView initial_counter);
  // Encrypts or decrypts the next bytes, in place or from one place (which does not overlap) to another.
  bool apply(std::span<std::uint8_t> bytes) { return apply(bytes, bytes.data()); }
  bool apply(BytesView from, std::uint8_t* to);

 private:
  explicit AesCtr(internal::CipherContext context) : context_(std::move(context)) {}
  internal::CipherContext context_;
};

// ChaCha20 with a 64-bit nonce and a 64-bit block counter (D. J. Bernstein's original layout).
class ChaCha20 {
 public:
  // Key of 32 bytes.
  static Result<ChaCha20> create(BytesView key);
  // Goes to the start of the stream of this nonce (written big endian, as SSH does with its sequence number).
  bool seek(std::uint64_t nonce);
  // Encrypts or decrypts from where the stream is, in place or from one place (which does not overlap) to another.
  bool apply(std::span<std::uint8_t> bytes) { return apply(bytes, bytes.data()); }
  bool apply(BytesView from, std::uint8_t* to);

 private:
  explicit ChaCha20(internal::CipherContext context) : context_(std::move(context)) {}
  internal::CipherContext context_;
};

// Poly1305 with a one-time key of 32 bytes per message.
class Poly1305 {
 public:
  static constexpr std::size_t kTagBytes = 16;
  static Result<Poly1305> create();
  bool compute(BytesView one_time_key, BytesView message, std::span<std::uint8_t, kTagBytes> tag);

 private:
  explicit Poly1305(internal::MacContext context) : context_(std::move(context)) {}
  internal::MacContext context_;
};

enum class HmacHash { kSha256, kSha512 };

// HMAC with a kept key.
class KeyedHmac {
 public:
  static constexpr std::size_t kMaxTagBytes = 64;
  static Result<KeyedHmac> create(HmacHash hash, BytesView key);
  std::size_t tag_bytes() const { return tag_bytes_; }
  // Over the two pieces, one after the other; the tag gets tag_bytes().
  bool compute(BytesView first, BytesView second, std::span<std::uint8_t, kMaxTagBytes> tag);

 private:
  KeyedHmac(internal::MacContext context, std::size_t tag_bytes)
      : context_(std::move(context)), tag_bytes_(tag_bytes) {}
  internal::MacContext context_;
  std::size_t tag_bytes_;
};

}  // namespace mezite::crypto
