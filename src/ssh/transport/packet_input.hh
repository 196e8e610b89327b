// The receiving half of the binary packet protocol (RFC 4253 §6): packets are opened where they were read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/byte_queue.hh"
#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/cipher/packet_cipher.hh"

namespace mezite::ssh {

class PacketInput {
 public:
  explicit PacketInput(std::size_t max_packet_bytes) : max_packet_bytes_(max_packet_bytes) {}

  std::span<std::uint8_t> room(std::size_t bytes) { return queue_.room(bytes); }
  void commit(std::size_t bytes) {
    queue_.commit(bytes);
    total_bytes_ += bytes;
  }

  // What has come and is no packet yet, for the identification.
  BytesView raw() const { return queue_.filled(); }
  void consume_raw(std::size_t bytes) { queue_.consume(bytes); }

  enum class Failure { kNone, kLength, kMac, kPadding };

  // The payload of the next packet, valid until the next call here other than the const ones; nothing when it has not
  // come whole. Anything but kNone in failure() is final.
  std::optional<BytesView> next();
  Failure failure() const { return failure_; }

  enum class Sequence { kContinue, kReset };  // strict KEX starts again at 0
  void set_cipher(std::unique_ptr<PacketCipher> cipher, Sequence sequence);

  // Of the packet that next() gave last.
  std::uint32_t last_sequence() const { return last_sequence_; }

  std::uint64_t bytes_since_keys() const { return bytes_since_keys_; }
  std::uint64_t packets_since_keys() const { return packets_since_keys_; }
  std::uint64_t total_bytes() const { return total_bytes_; }
  std::uint64_t total_packets() const { return total_packets_; }

 private:
  std::optional<BytesView> refuse(Failure failure) {
    failure_ = failure;
    return std::nullopt;
  }
  std::optional<BytesView> wait_for_more() {
    queue_.settle();
    return std::nullopt;
  }
  bool length_is_possible(std::uint32_t length) const;

  ByteQueue queue_;
  std::size_t max_packet_bytes_;
  std::unique_ptr<PacketCipher> cipher_ = make_clear_packets();
  std::uint32_t sequence_ = 0;
  std::uint32_t last_sequence_ = 0;
  std::optional<std::uint32_t> length_;  // packet_length of the packet at the front, once known
  std::size_t opened_bytes_ = 0;         // the packet that next() gave last; consumed by the next call
  Failure failure_ = Failure::kNone;
  std::uint64_t bytes_since_keys_ = 0;
  std::uint64_t packets_since_keys_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t total_packets_ = 0;
};

}  // namespace mezite::ssh
