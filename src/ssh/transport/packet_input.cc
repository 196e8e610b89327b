#include "ssh/transport/packet_input.hh"

#include <limits>

namespace mezite::ssh {

namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kMinPaddingBytes = 4;
constexpr std::size_t kMinPacketLength = 1 + 1 + kMinPaddingBytes;  // padding_length, a message number, padding

}  // namespace

bool PacketInput::length_is_possible(std::uint32_t length) const {
  const auto& layout = cipher_->layout();
  const std::size_t aligned = kLengthBytes + std::size_t{length} - layout.unaligned_bytes;
  return length >= kMinPacketLength && length <= max_packet_bytes_ && aligned % layout.block_bytes == 0 &&
         kLengthBytes + std::size_t{length} >= layout.head_bytes;
}

std::optional<BytesView> PacketInput::next() {
  if (opened_bytes_ > 0) {
    queue_.consume(opened_bytes_);
    opened_bytes_ = 0;
  }
  if (failure_ != Failure::kNone) return std::nullopt;
  const auto filled = queue_.filled();
  const auto& layout = cipher_->layout();
  if (!length_) {
    if (filled.size() < layout.head_bytes) return wait_for_more();
    length_ = cipher_->open_length(sequence_, filled.first(layout.head_bytes));
    // Checked before anything is kept for it: the length is not authenticated.
    if (!length_is_possible(*length_)) return refuse(Failure::kLength);
  }
  const std::size_t sealed_bytes = kLengthBytes + *length_ + layout.tag_bytes;
  if (filled.size() < sealed_bytes) return wait_for_more();
  if (packets_since_keys_ > std::numeric_limits<std::uint32_t>::max()) return refuse(Failure::kMac);
  const auto packet = filled.first(sealed_bytes);
  if (!cipher_->open(sequence_, packet)) return refuse(Failure::kMac);

  const std::size_t padding = packet[kLengthBytes];
  // russh CVE-2024-43410 and kin: padding that leaves no room for the message number, or less than none.
  if (padding < kMinPaddingBytes || padding + 2 > *length_) return refuse(Failure::kPadding);
  const BytesView payload = packet.subspan(kLengthBytes + 1, *length_ - 1 - padding);

  opened_bytes_ = sealed_bytes;
  length_.reset();
  last_sequence_ = sequence_++;
  ++packets_since_keys_;
  ++total_packets_;
  bytes_since_keys_ += sealed_bytes;
  return payload;
}

void PacketInput::set_cipher(std::unique_ptr<PacketCipher> cipher, Sequence sequence) {
  cipher_ = std::move(cipher);
  if (sequence == Sequence::kReset) sequence_ = 0;
  bytes_since_keys_ = 0;
  packets_since_keys_ = 0;
}

}  // namespace mezite::ssh
