// Random bytes from OpenSSL's generator, which seeds itself from the kernel and again after fork. A generator that
// fails ends the process: there is no safe way on.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.hh"
#include "base/secret.hh"

namespace mezite::crypto {

void fill_random(std::span<std::uint8_t> out);
Bytes random_bytes(std::size_t size);
Secret random_secret(std::size_t size);
std::uint64_t random_u64();

// A bearer token: base64url of 32 random bytes, 43 characters.
std::string random_token();

// As fill_random, out of a per-thread block of 4 KiB, so that a small request costs a copy. For padding and jitter;
// keys, nonces and tokens take fill_random. What was handed out is wiped from the block.
void fill_random_fast(std::span<std::uint8_t> out);

}  // namespace mezite::crypto
