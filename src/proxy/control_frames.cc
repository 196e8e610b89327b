#include "proxy/control_frames.hh"

namespace mezite::proxy {

Status FrameReader::feed(BytesView bytes, const std::function<Status(BytesView frame)>& on_frame) {
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  std::size_t at = 0;
  Status status;
  while (status && pending_.size() - at >= 4) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | pending_[at + i];
    if (length == 0 || length > kMaxControlFrameBytes) {
      return fail(ErrorCode::kProtocol, "a control frame of {} bytes", length);
    }
    if (pending_.size() - at - 4 < length) break;
    status = on_frame(BytesView(pending_).subspan(at + 4, length));
    at += 4 + length;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at));
  return status;
}

Bytes make_frame(std::string_view message) {
  Bytes out;
  out.reserve(message.size() + 4);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(message.size() >> shift));
  out.insert(out.end(), message.begin(), message.end());
  return out;
}

}  // namespace mezite::proxy
