// Byte containers, views and the text encodings of bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite {

using Bytes = std::vector<std::uint8_t>;
using BytesView = std::span<const std::uint8_t>;

inline BytesView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(BytesView bytes) { return {bytes.begin(), bytes.end()}; }
inline Bytes to_bytes(std::string_view text) { return to_bytes(as_bytes(text)); }
inline std::string to_text(BytesView bytes) { return std::string(as_text(bytes)); }

// Lower-case hexadecimal; from_hex takes either case and refuses anything else.
std::string to_hex(BytesView bytes);
Result<Bytes> from_hex(std::string_view text);

// RFC 4648 §4 with padding, and §5 (URL-safe) without. Decoders are strict: no white space, no trailing bits.
std::string to_base64(BytesView bytes);
std::string to_base64_unpadded(BytesView bytes);
std::string to_base64url(BytesView bytes);
Result<Bytes> from_base64(std::string_view text);  // padding optional
Result<Bytes> from_base64url(std::string_view text);

// Compares in time that depends on the lengths only.
bool equal_constant_time(BytesView a, BytesView b);

}  // namespace mezite
