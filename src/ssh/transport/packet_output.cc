#include "ssh/transport/packet_output.hh"

#include <algorithm>
#include <limits>

#include "crypto/random.hh"

namespace mezite::ssh {

namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kHeaderBytes = 5;  // packet_length, padding_length
constexpr std::size_t kMinPaddingBytes = 4;
constexpr std::size_t kMinPacketBytes = 16;  // RFC 4253 §6

void write_u32(std::uint8_t* p, std::size_t value) {
  p[0] = static_cast<std::uint8_t>(value >> 24);
  p[1] = static_cast<std::uint8_t>(value >> 16);
  p[2] = static_cast<std::uint8_t>(value >> 8);
  p[3] = static_cast<std::uint8_t>(value);
}

}  // namespace

void PacketOutput::put_raw(BytesView bytes) {
  queue_.append(bytes);
  total_bytes_ += bytes.size();
}

Status PacketOutput::put(BytesView head, BytesView text) {
  const std::size_t payload_bytes = head.size() + text.size();
  const auto& layout = cipher_->layout();
  const std::size_t unpadded = kHeaderBytes + payload_bytes - layout.unaligned_bytes;
  std::size_t padding = layout.block_bytes - unpadded % layout.block_bytes;
  if (padding < kMinPaddingBytes) padding += layout.block_bytes;
  while (kHeaderBytes + payload_bytes + padding < kMinPacketBytes) padding += layout.block_bytes;

  const std::size_t packet_bytes = kHeaderBytes + payload_bytes + padding;
  const std::size_t sealed_bytes = packet_bytes + layout.tag_bytes;
  if (packets_since_keys_ > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::kResourceExhausted, "2^32 packets under one key");
  }
  const auto packet = queue_.room(sealed_bytes).first(sealed_bytes);
  write_u32(packet.data(), packet_bytes - kLengthBytes);
  packet[kLengthBytes] = static_cast<std::uint8_t>(padding);
  std::copy(head.begin(), head.end(), packet.subspan(kHeaderBytes).begin());
  crypto::fill_random_fast(packet.subspan(kHeaderBytes + payload_bytes, padding));
  if (!cipher_->seal(sequence_, packet, {.at = kHeaderBytes + head.size(), .bytes = text}))
    return fail(ErrorCode::kInternal, "sealing a packet failed");
  queue_.commit(sealed_bytes);

  ++sequence_;
  ++packets_since_keys_;
  ++total_packets_;
  bytes_since_keys_ += sealed_bytes;
  total_bytes_ += sealed_bytes;
  return {};
}

void PacketOutput::set_cipher(std::unique_ptr<PacketCipher> cipher, Sequence sequence) {
  cipher_ = std::move(cipher);
  if (sequence == Sequence::kReset) sequence_ = 0;
  bytes_since_keys_ = 0;
  packets_since_keys_ = 0;
}

}  // namespace mezite::ssh
