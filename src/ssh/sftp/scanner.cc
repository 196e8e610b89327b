#include "ssh/sftp/scanner.hh"

#include <algorithm>

namespace mezite::ssh::sftp {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kKeptCapacity = std::size_t{4} << 10;

std::size_t length_of(BytesView head) {
  return std::size_t{head[0]} << 24 | std::size_t{head[1]} << 16 | std::size_t{head[2]} << 8 | head[3];
}

}  // namespace

Status PacketScanner::feed(BytesView bytes) {
  while (!bytes.empty() && !failed_) {
    auto status = feed_some(bytes);
    if (!status) {
      failed_ = true;
      gathered_ = {};
      return status;
    }
  }
  return {};
}

// One step: a piece to pass by, a packet that is all there, or a piece to gather.
Status PacketScanner::feed_some(BytesView& bytes) {
  if (skip_ > 0) {
    const BytesView piece = bytes.first(std::min(skip_, bytes.size()));
    skip_ -= piece.size();
    bytes = bytes.subspan(piece.size());
    reader_.on_rest(piece);
    return {};
  }

  const auto gather_up_to = [&](std::size_t size) {
    const std::size_t more = std::min(size - gathered_.size(), bytes.size());
    gathered_.insert(gathered_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(more));
    bytes = bytes.subspan(more);
    return gathered_.size() == size;
  };

  if (packet_bytes_ == 0) {
    BytesView head = bytes;
    if (!gathered_.empty() || bytes.size() <= kLengthBytes) {
      if (!gather_up_to(kLengthBytes + 1)) return {};
      head = gathered_;
    }
    packet_bytes_ = length_of(head);
    if (packet_bytes_ == 0 || packet_bytes_ > kMaxPacketBytes) {
      return fail(ErrorCode::kProtocol, "a packet of {} bytes; SFTP has packets of 1 to {} bytes", packet_bytes_,
                  kMaxPacketBytes);
    }
    wanted_ = std::clamp<std::size_t>(reader_.wanted(head[kLengthBytes], packet_bytes_), 1, packet_bytes_);
  }

  BytesView first;
  if (gathered_.empty() && bytes.size() >= kLengthBytes + wanted_) {
    first = bytes.subspan(kLengthBytes, wanted_);
    bytes = bytes.subspan(kLengthBytes + wanted_);
  } else {
    if (!gather_up_to(kLengthBytes + wanted_)) return {};
    first = BytesView(gathered_).subspan(kLengthBytes);
  }
  const std::size_t packet_bytes = std::exchange(packet_bytes_, 0);
  skip_ = packet_bytes - wanted_;
  auto status = reader_.on_packet(first, packet_bytes);
  gathered_.clear();
  if (gathered_.capacity() > kKeptCapacity) gathered_.shrink_to_fit();
  return status;
}

}  // namespace mezite::ssh::sftp
