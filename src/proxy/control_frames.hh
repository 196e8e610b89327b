// The frames of the control channel: uint32 length, big endian, then one protobuf message (docs/protocols.md).
#pragma once

#include <functional>
#include <string>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::proxy {

inline constexpr std::size_t kMaxControlFrameBytes = std::size_t{64} << 10;

class FrameReader {
 public:
  // Calls on_frame for each whole frame; its error ends the reading. kProtocol for a frame that is empty or too long.
  Status feed(BytesView bytes, const std::function<Status(BytesView frame)>& on_frame);

 private:
  Bytes pending_;
};

Bytes make_frame(std::string_view message);

}  // namespace mezite::proxy
