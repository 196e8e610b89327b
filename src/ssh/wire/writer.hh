// Appends RFC 4251 §5 data types to a buffer that the caller owns and may reuse.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hh"

namespace mezite::ssh {

class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  Writer& byte(std::uint8_t value) {
    out_.push_back(value);
    return *this;
  }
  Writer& boolean(bool value) { return byte(value ? 1 : 0); }
  Writer& u32(std::uint32_t value) {
    const std::uint8_t bytes[4] = {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
                                   static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    out_.insert(out_.end(), bytes, bytes + 4);
    return *this;
  }
  Writer& u64(std::uint64_t value) {
    return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value));
  }
  Writer& raw(BytesView bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  // At most 2^32 − 1 bytes; what this program writes is far under that.
  Writer& string(BytesView bytes) { return u32(static_cast<std::uint32_t>(bytes.size())).raw(bytes); }
  Writer& string(std::string_view text) { return string(as_bytes(text)); }
  Writer& string(const char* text) { return string(std::string_view(text)); }
  // From an unsigned big-endian magnitude, with or without leading zeros.
  Writer& mpint(BytesView magnitude);

  Bytes& out() { return out_; }

 private:
  Bytes& out_;
};

}  // namespace mezite::ssh
