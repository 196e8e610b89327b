#include "ssh/cipher/packet_cipher.hh"

#include <gtest/gtest.h>

#include "crypto/random.hh"

namespace mezite::ssh {
namespace {

struct Case {
  const CipherAlgorithm* cipher;
  const MacAlgorithm* mac;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& cipher : cipher_algorithms()) {
    if (cipher.is_aead()) {
      cases.push_back({&cipher, nullptr});
      continue;
    }
    for (const auto& mac : mac_algorithms()) cases.push_back({&cipher, &mac});
  }
  return cases;
}

PacketKeys keys_for(const Case& c) {
  const auto pattern = [](std::size_t size, std::uint8_t start) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(start + i);
    return Secret(bytes);
  };
  return {.iv = pattern(c.cipher->iv_bytes, 200),
          .key = pattern(c.cipher->key_bytes, 1),
          .mac_key = pattern(c.mac == nullptr ? 0 : c.mac->key_bytes, 100)};
}

std::unique_ptr<PacketCipher> make(const Case& c, CipherDirection direction) {
  return *make_packet_cipher(direction, *c.cipher, c.mac, keys_for(c));
}

// A clear packet whose size suits the cipher, with room for the tag.
Bytes clear_packet(const PacketCipher& cipher, std::size_t blocks) {
  const auto& layout = cipher.layout();
  const std::size_t packet = layout.unaligned_bytes + blocks * layout.block_bytes;
  Bytes bytes = crypto::random_bytes(packet);
  const std::size_t length = packet - 4;
  bytes[0] = 0;
  bytes[1] = static_cast<std::uint8_t>(length >> 16);
  bytes[2] = static_cast<std::uint8_t>(length >> 8);
  bytes[3] = static_cast<std::uint8_t>(length);
  bytes.resize(packet + layout.tag_bytes);
  return bytes;
}

bool open_whole(PacketCipher& cipher, std::uint32_t sequence, std::span<std::uint8_t> bytes, std::uint32_t* length) {
  *length = cipher.open_length(sequence, bytes.first(cipher.layout().head_bytes));
  return cipher.open(sequence, bytes);
}

TEST(PacketCipher, OpensWhatItSealedForManyPackets) {
  for (const auto& c : all_cases()) {
    const auto seal = make(c, CipherDirection::kSeal);
    const auto open = make(c, CipherDirection::kOpen);
    for (std::uint32_t sequence = 0xfffffff0u, i = 0; i < 64; ++i, ++sequence) {
      const Bytes clear = clear_packet(*seal, 2 + i * 7);
      Bytes sealed = clear;
      ASSERT_TRUE(seal->seal(sequence, sealed));
      EXPECT_NE(Bytes(sealed.begin() + 4, sealed.end()), Bytes(clear.begin() + 4, clear.end()));
      std::uint32_t length = 0;
      ASSERT_TRUE(open_whole(*open, sequence, sealed, &length)) << c.cipher->name << " packet " << i;
      const std::size_t tag = seal->layout().tag_bytes;
      EXPECT_EQ(length, clear.size() - tag - 4);
      EXPECT_EQ(Bytes(sealed.begin() + 4, sealed.end() - static_cast<long>(tag)),
                Bytes(clear.begin() + 4, clear.end() - static_cast<long>(tag)));
    }
  }
}

TEST(PacketCipher, TextFromElsewhereIsAsTextInPlace) {
  for (const auto& c : all_cases()) {
    const auto here = make(c, CipherDirection::kSeal);
    const auto there = make(c, CipherDirection::kSeal);
    const std::size_t tag = here->layout().tag_bytes;
    for (std::uint32_t sequence = 0; sequence < 40; ++sequence) {
      Bytes sealed = clear_packet(*here, 100 + sequence * 61);
      Bytes elsewhere = sealed;
      const std::size_t at = 5 + sequence % 23;
      const std::size_t size = sequence * 5 % (sealed.size() - tag - at);
      const Bytes text(sealed.begin() + static_cast<long>(at), sealed.begin() + static_cast<long>(at + size));
      std::fill_n(elsewhere.begin() + static_cast<long>(at), size, std::uint8_t{0xee});
      ASSERT_TRUE(here->seal(sequence, sealed));
      ASSERT_TRUE(there->seal(sequence, elsewhere, {.at = at, .bytes = text}));
      ASSERT_EQ(elsewhere, sealed) << c.cipher->name << " packet " << sequence;
    }
  }
}

TEST(PacketCipher, AnyFlippedBitIsFound) {
  for (const auto& c : all_cases()) {
    const auto seal = make(c, CipherDirection::kSeal);
    const Bytes clear = clear_packet(*seal, 3);
    Bytes sealed = clear;
    ASSERT_TRUE(seal->seal(7, sealed));
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Bytes damaged = sealed;
      damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1u << (bit % 8)));
      const auto open = make(c, CipherDirection::kOpen);
      std::uint32_t length = 0;
      EXPECT_FALSE(open_whole(*open, 7, damaged, &length)) << c.cipher->name << " bit " << bit;
    }
  }
}

TEST(PacketCipher, SequenceNumberIsAuthenticated) {
  for (const auto& c : all_cases()) {
    if (c.cipher->kind == CipherKind::kAesGcm) continue;  // counts for itself
    const auto seal = make(c, CipherDirection::kSeal);
    const auto open = make(c, CipherDirection::kOpen);
    Bytes sealed = clear_packet(*seal, 3);
    ASSERT_TRUE(seal->seal(7, sealed));
    std::uint32_t length = 0;
    EXPECT_FALSE(open_whole(*open, 8, sealed, &length)) << c.cipher->name;
  }
}

TEST(PacketCipher, KeysOfWrongLengthAreRefused) {
  for (const auto& c : all_cases()) {
    PacketKeys keys = keys_for(c);
    keys.key.resize(keys.key.size() - 1);
    EXPECT_FALSE(make_packet_cipher(CipherDirection::kSeal, *c.cipher, c.mac, keys));
  }
  const auto* ctr = find_cipher_algorithm("aes256-ctr");
  EXPECT_FALSE(make_packet_cipher(CipherDirection::kSeal, *ctr, nullptr, keys_for({ctr, nullptr})));
}

}  // namespace
}  // namespace mezite::ssh
