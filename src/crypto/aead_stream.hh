// AES-GCM for a stream of messages under one key: the context is kept, a message sets its nonce only.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.hh"
#include "base/result.hh"
#include "crypto/cipher.hh"

namespace mezite::crypto {

enum class AeadDirection { kSeal, kOpen };

class AesGcmStream {
 public:
  static constexpr std::size_t kNonceBytes = 12;
  static constexpr std::size_t kTagBytes = 16;

  // Key of 16 or 32 bytes. The caller never repeats a nonce under a key.
  static Result<AesGcmStream> create(AeadDirection direction, BytesView key);

  // Encrypts in place and writes the tag. The part of bytes from `at` on that `text` is as long as is taken from
  // there instead of from where it lies.
  bool seal(std::span<const std::uint8_t, kNonceBytes> nonce, BytesView associated, std::span<std::uint8_t> bytes,
            std::size_t at, BytesView text, std::span<std::uint8_t, kTagBytes> tag);
  // Decrypts in place; false when the tag does not fit, and the bytes are then not to be looked at.
  bool open(std::span<const std::uint8_t, kNonceBytes> nonce, BytesView associated, std::span<std::uint8_t> bytes,
            std::span<const std::uint8_t, kTagBytes> tag);

 private:
  explicit AesGcmStream(internal::CipherContext context) : context_(std::move(context)) {}
  internal::CipherContext context_;
};

}  // namespace mezite::crypto
