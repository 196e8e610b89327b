// Argon2id (RFC 9106): keys from passphrases, password hashes as PHC strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"
#include "base/secret.hh"

namespace mezite::crypto {

struct Argon2Params {
  std::uint32_t memory_kib = 64 * 1024;
  std::uint32_t iterations = 3;
  std::uint32_t lanes = 1;

  bool operator==(const Argon2Params&) const = default;
};

// For passwords, which people wait for and a server takes many of: OWASP's least for Argon2id. Its other choices,
// equally strong, take more memory and fewer passes; this one takes half of the time of 46 MiB and one pass, which the
// kernel has to clear anew each time, and a seventh of the defaults', which are for a passphrase that opens everything
// and is asked for once a start.
inline constexpr Argon2Params kPasswordArgon2{.memory_kib = 19 * 1024, .iterations = 2, .lanes = 1};

// The cheapest that Argon2 accepts, for tests.
inline constexpr Argon2Params kCheapArgon2{.memory_kib = 8, .iterations = 1, .lanes = 1};

// A key of size_bytes; salt of 8 bytes or more. Blocks for tens of milliseconds: call it on a worker.
Result<Secret> derive_key(BytesView passphrase, BytesView salt, const Argon2Params& params,
                          std::size_t size_bytes = 32);

// "$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>" with a random salt. Blocks.
Result<std::string> hash_password(std::string_view password, const Argon2Params& params = kPasswordArgon2);

// Whether the password fits. A string that is no Argon2id hash, or one that asks for more than 1 GiB, 64 iterations or
// 64 lanes, is kCorrupt; a wrong password is false. Blocks.
Result<bool> verify_password(std::string_view password, std::string_view phc);

// Whether the hash was made with other parameters than these, so that the next good login should renew it.
bool password_needs_rehash(std::string_view phc, const Argon2Params& params);

}  // namespace mezite::crypto
