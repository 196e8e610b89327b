// SHA-2 and HMAC over SHA-2. These never fail: OpenSSL's default provider always has them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/bytes.hh"

struct evp_md_ctx_st;
struct evp_mac_ctx_st;

namespace mezite::crypto {

enum class HashAlgorithm { kSha256, kSha384, kSha512 };

using Sha256Digest = std::array<std::uint8_t, 32>;
using Sha384Digest = std::array<std::uint8_t, 48>;
using Sha512Digest = std::array<std::uint8_t, 64>;

Sha256Digest sha256(BytesView data);
Sha384Digest sha384(BytesView data);
Sha512Digest sha512(BytesView data);

// Digest size in bytes.
std::size_t hash_size(HashAlgorithm algorithm);
Bytes hash(HashAlgorithm algorithm, BytesView data);

Sha256Digest hmac_sha256(BytesView key, BytesView data);
Sha512Digest hmac_sha512(BytesView key, BytesView data);

// HMAC-SHA-1 as OpenSSH's known_hosts hides host names with it. For nothing else.
std::array<std::uint8_t, 20> hmac_sha1_for_known_hosts(BytesView key, BytesView data);

// A hash fed in pieces. One thread at a time. finish() gives the digest and starts anew.
class Hasher {
 public:
  explicit Hasher(HashAlgorithm algorithm);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& update(BytesView data);
  Bytes finish();

 private:
  HashAlgorithm algorithm_;
  evp_md_ctx_st* context_;
};

// An HMAC fed in pieces. One thread at a time. finish() gives the tag and starts anew with the same key.
class Hmac {
 public:
  Hmac(HashAlgorithm algorithm, BytesView key);
  ~Hmac();
  Hmac(Hmac&&) noexcept;
  Hmac& operator=(Hmac&&) noexcept;

  Hmac& update(BytesView data);
  Bytes finish();

 private:
  std::size_t size_;
  evp_mac_ctx_st* context_;
};

}  // namespace mezite::crypto
