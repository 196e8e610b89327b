// SHA-3 and SHAKE (FIPS 202) from OpenSSL, for the post-quantum KEMs.
#pragma once

#include <array>

#include "base/bytes.hh"

namespace mezite::crypto {

std::array<std::uint8_t, 32> sha3_256(BytesView a, BytesView b = {});
std::array<std::uint8_t, 64> sha3_512(BytesView a, BytesView b = {});

// Fill out from the extendable output of a || b.
void shake128(BytesView a, BytesView b, std::span<std::uint8_t> out);
void shake256(BytesView a, BytesView b, std::span<std::uint8_t> out);

}  // namespace mezite::crypto
