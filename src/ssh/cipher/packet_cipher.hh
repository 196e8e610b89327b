// Protection of one direction of the binary packet protocol (RFC 4253 §6), in place. A packet here is the four bytes
// of packet_length, padding_length, payload and padding, with room for the tag right after it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.hh"
#include "base/secret.hh"
#include "ssh/cipher/algorithms.hh"

namespace mezite::ssh {

enum class CipherDirection { kSeal, kOpen };

// Key material as derived (RFC 4253 §7.2), as long as the algorithms ask for.
struct PacketKeys {
  Secret iv;
  Secret key;
  Secret mac_key;
};

// Used from one thread; made for one direction, and only that direction's functions are called. Allocates nothing per
// packet.
class PacketCipher {
 public:
  static constexpr std::size_t kMaxTagBytes = crypto::KeyedHmac::kMaxTagBytes;

  // What padding rounds up to, and what is counted for it.
  struct Layout {
    std::size_t block_bytes;      // 8 or 16
    std::size_t unaligned_bytes;  // 4 when packet_length stays out of the blocks (AEAD and encrypt-then-MAC), else 0
    std::size_t head_bytes;       // what open_length() has to see
    std::size_t tag_bytes;
  };

  virtual ~PacketCipher() = default;
  PacketCipher(const PacketCipher&) = delete;
  PacketCipher& operator=(const PacketCipher&) = delete;

  const Layout& layout() const { return layout_; }

  // A part of a packet that still lies somewhere else: it goes to `at` of the packet, encrypted on its way.
  struct Text {
    std::size_t at = 0;
    BytesView bytes;
  };
  // packet_and_tag: the packet in the clear, packet_length included, save for `text`, and tag_bytes of room.
  virtual bool seal(std::uint32_t sequence, std::span<std::uint8_t> packet_and_tag, const Text& text) = 0;
  bool seal(std::uint32_t sequence, std::span<std::uint8_t> packet_and_tag) {
    return seal(sequence, packet_and_tag, {.at = packet_and_tag.size() - layout_.tag_bytes, .bytes = {}});
  }

  // packet_length from the first head_bytes of a packet: not authenticated yet. Called once for each packet; may
  // decrypt the head in place.
  virtual std::uint32_t open_length(std::uint32_t sequence, std::span<std::uint8_t> head) = 0;
  // Decrypts all after packet_length in place; false when the tag does not fit.
  virtual bool open(std::uint32_t sequence, std::span<std::uint8_t> packet_and_tag) = 0;

 protected:
  explicit PacketCipher(Layout layout) : layout_(layout) {}

 private:
  Layout layout_;
};

// What is in force before the first NEWKEYS.
std::unique_ptr<PacketCipher> make_clear_packets();

// mac is null for an AEAD. kInvalidArgument for keys of wrong lengths.
Result<std::unique_ptr<PacketCipher>> make_packet_cipher(CipherDirection direction, const CipherAlgorithm& cipher,
                                                         const MacAlgorithm* mac, const PacketKeys& keys);

}  // namespace mezite::ssh
