// The sending half of the binary packet protocol (RFC 4253 §6): packets are built, padded and sealed where they lie,
// one after the other in one buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/byte_queue.hh"
#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/cipher/packet_cipher.hh"

namespace mezite::ssh {

class PacketOutput {
 public:
  BytesView pending() const { return queue_.filled(); }
  void consume(std::size_t bytes) { queue_.consume(bytes); }

  // Bytes that are no packet: the identification.
  void put_raw(BytesView bytes);

  // A packet whose payload is head and text, one after the other. The text is encrypted from where it lies.
  Status put(BytesView head, BytesView text = {});

  enum class Sequence { kContinue, kReset };  // strict KEX starts again at 0
  void set_cipher(std::unique_ptr<PacketCipher> cipher, Sequence sequence);

  std::uint64_t bytes_since_keys() const { return bytes_since_keys_; }
  std::uint64_t packets_since_keys() const { return packets_since_keys_; }
  std::uint64_t total_bytes() const { return total_bytes_; }
  std::uint64_t total_packets() const { return total_packets_; }

 private:
  ByteQueue queue_;
  std::unique_ptr<PacketCipher> cipher_ = make_clear_packets();
  std::uint32_t sequence_ = 0;
  std::uint64_t bytes_since_keys_ = 0;
  std::uint64_t packets_since_keys_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t total_packets_ = 0;
};

}  // namespace mezite::ssh
