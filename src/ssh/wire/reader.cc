#include "ssh/wire/reader.hh"

namespace mezite::ssh {

BytesView Reader::mpint() {
  BytesView bytes = string();
  if (failed_ || bytes.empty()) return {};
  if (bytes[0] & 0x80) return fail_with<BytesView>();  // negative
  if (bytes[0] != 0) return bytes;
  // A zero byte in front is there for the sign only: "00" alone, or before a byte under 0x80, is not minimal.
  if (bytes.size() == 1 || (bytes[1] & 0x80) == 0) return fail_with<BytesView>();
  return bytes.subspan(1);
}

Status Reader::finish(std::string_view what) const {
  if (failed_) return mezite::fail(ErrorCode::kProtocol, "malformed {}", what);
  if (!rest_.empty()) return mezite::fail(ErrorCode::kProtocol, "{} has {} trailing bytes", what, rest_.size());
  return {};
}

}  // namespace mezite::ssh
