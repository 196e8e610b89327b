// Reads RFC 4251 §5 data types from untrusted bytes. Failure is sticky: after the first short or malformed field every
// read gives an empty value, so that a parser reads all its fields and asks once. Views point into the input.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::ssh {

class Reader {
 public:
  explicit Reader(BytesView input) : rest_(input) {}

  std::uint8_t byte() {
    if (rest_.empty()) return fail_with<std::uint8_t>();
    std::uint8_t value = rest_[0];
    rest_ = rest_.subspan(1);
    return value;
  }
  // RFC 4251: all values but 0 are true.
  bool boolean() { return byte() != 0; }
  std::uint32_t u32() {
    if (rest_.size() < 4) return fail_with<std::uint32_t>();
    std::uint32_t value =
        std::uint32_t{rest_[0]} << 24 | std::uint32_t{rest_[1]} << 16 | std::uint32_t{rest_[2]} << 8 | rest_[3];
    rest_ = rest_.subspan(4);
    return value;
  }
  std::uint64_t u64() {
    std::uint64_t high = u32();
    return high << 32 | u32();
  }
  BytesView string() {
    std::uint32_t size = u32();
    return take(size);
  }
  std::string_view text() { return as_text(string()); }
  // The magnitude of a number ≥ 0 without leading zeros. Fails on a negative or non-minimal one (RFC 4251 §5).
  BytesView mpint();
  // Exactly size bytes.
  BytesView take(std::size_t size) {
    if (rest_.size() < size) return fail_with<BytesView>();
    BytesView value = rest_.first(size);
    rest_ = rest_.subspan(size);
    return value;
  }
  // Whatever is left.
  BytesView rest() { return take(rest_.size()); }

  void fail() {
    failed_ = true;
    rest_ = {};
  }
  bool failed() const { return failed_; }
  // Nothing left and nothing went wrong.
  bool at_end() const { return !failed_ && rest_.empty(); }
  std::size_t remaining() const { return rest_.size(); }
  // kProtocol unless at_end(): "malformed SSH_MSG_…" or "… has trailing bytes".
  Status finish(std::string_view what) const;

 private:
  template <class T>
  T fail_with() {
    fail();
    return T{};
  }
  BytesView rest_;
  bool failed_ = false;
};

}  // namespace mezite::ssh
