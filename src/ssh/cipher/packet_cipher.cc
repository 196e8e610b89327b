#include "ssh/cipher/packet_cipher.hh"

#include <string.h>

#include <algorithm>
#include <array>

#include "crypto/aead_stream.hh"

namespace mezite::ssh {

namespace {

constexpr std::size_t kLengthBytes = 4;

std::uint32_t read_u32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

void put(std::span<std::uint8_t> packet, const PacketCipher::Text& text) {
  std::copy(text.bytes.begin(), text.bytes.end(), packet.subspan(text.at).begin());
}

// All after packet_length, which stays out of the cipher.
template <class Cipher>
bool apply_body(Cipher& cipher, std::span<std::uint8_t> packet, const PacketCipher::Text& text) {
  const auto before = packet.first(text.at).subspan(kLengthBytes);
  return cipher.apply(before) && cipher.apply(text.bytes, packet.data() + text.at) &&
         cipher.apply(packet.subspan(text.at + text.bytes.size()));
}

class ClearPackets final : public PacketCipher {
 public:
  using PacketCipher::seal;
  ClearPackets() : PacketCipher({.block_bytes = 8, .unaligned_bytes = 0, .head_bytes = kLengthBytes, .tag_bytes = 0}) {}
  bool seal(std::uint32_t, std::span<std::uint8_t> packet, const Text& text) override {
    put(packet, text);
    return true;
  }
  std::uint32_t open_length(std::uint32_t, std::span<std::uint8_t> head) override { return read_u32(head.data()); }
  bool open(std::uint32_t, std::span<std::uint8_t>) override { return true; }
};

// aes*-gcm@openssh.com: RFC 5647 with packet_length as associated data and the negotiated MAC ignored.
class GcmPackets final : public PacketCipher {
 public:
  GcmPackets(crypto::AesGcmStream aead, BytesView iv)
      : PacketCipher({.block_bytes = 16,
                      .unaligned_bytes = kLengthBytes,
                      .head_bytes = kLengthBytes,
                      .tag_bytes = crypto::AesGcmStream::kTagBytes}),
        aead_(std::move(aead)) {
    std::copy_n(iv.begin(), nonce_.size(), nonce_.begin());
  }

  using PacketCipher::seal;
  bool seal(std::uint32_t, std::span<std::uint8_t> packet_and_tag, const Text& text) override {
    const Parts parts = cut(packet_and_tag);
    const bool ok = aead_.seal(nonce_, parts.length, parts.body, text.at - kLengthBytes, text.bytes, parts.tag);
    count();
    return ok;
  }
  std::uint32_t open_length(std::uint32_t, std::span<std::uint8_t> head) override { return read_u32(head.data()); }
  bool open(std::uint32_t, std::span<std::uint8_t> packet_and_tag) override {
    const Parts parts = cut(packet_and_tag);
    const bool ok = aead_.open(nonce_, parts.length, parts.body, parts.tag);
    count();
    return ok;
  }

 private:
  struct Parts {
    BytesView length;
    std::span<std::uint8_t> body;
    std::span<std::uint8_t, crypto::AesGcmStream::kTagBytes> tag;
  };
  static Parts cut(std::span<std::uint8_t> all) {
    const std::size_t packet = all.size() - crypto::AesGcmStream::kTagBytes;
    return {all.first(kLengthBytes), all.subspan(kLengthBytes, packet - kLengthBytes),
            all.last<crypto::AesGcmStream::kTagBytes>()};
  }
  // RFC 5647 §7.1: the last eight bytes count messages.
  void count() {
    for (std::size_t i = nonce_.size(); i > 4; --i) {
      if (++nonce_[i - 1] != 0) break;
    }
  }

  crypto::AesGcmStream aead_;
  std::array<std::uint8_t, crypto::AesGcmStream::kNonceBytes> nonce_;
};

// chacha20-poly1305@openssh.com (OpenSSH's PROTOCOL.chacha20poly1305): the first key half for the text and the one-time
// MAC key, the second for packet_length.
class ChaChaPackets final : public PacketCipher {
 public:
  ChaChaPackets(crypto::ChaCha20 text, crypto::ChaCha20 length, crypto::Poly1305 mac)
      : PacketCipher({.block_bytes = 8,
                      .unaligned_bytes = kLengthBytes,
                      .head_bytes = kLengthBytes,
                      .tag_bytes = crypto::Poly1305::kTagBytes}),
        text_(std::move(text)),
        length_(std::move(length)),
        mac_(std::move(mac)) {}

  using PacketCipher::seal;
  bool seal(std::uint32_t sequence, std::span<std::uint8_t> packet_and_tag, const Text& text) override {
    const std::size_t packet = packet_and_tag.size() - crypto::Poly1305::kTagBytes;
    return length_.seek(sequence) && length_.apply(packet_and_tag.first(kLengthBytes)) && start(sequence) &&
           apply_body(text_, packet_and_tag.first(packet), text) &&
           mac_.compute(BytesView(first_block_).first(32), packet_and_tag.first(packet),
                        packet_and_tag.last<crypto::Poly1305::kTagBytes>());
  }
  std::uint32_t open_length(std::uint32_t sequence, std::span<std::uint8_t> head) override {
    std::array<std::uint8_t, kLengthBytes> length;  // the tag covers the encrypted form, which stays
    std::copy_n(head.begin(), length.size(), length.begin());
    if (!length_.seek(sequence) || !length_.apply(length)) return 0;
    return read_u32(length.data());
  }
  bool open(std::uint32_t sequence, std::span<std::uint8_t> packet_and_tag) override {
    const std::size_t packet = packet_and_tag.size() - crypto::Poly1305::kTagBytes;
    std::array<std::uint8_t, crypto::Poly1305::kTagBytes> tag;
    return start(sequence) && mac_.compute(BytesView(first_block_).first(32), packet_and_tag.first(packet), tag) &&
           equal_constant_time(tag, packet_and_tag.last<crypto::Poly1305::kTagBytes>()) &&
           text_.apply(packet_and_tag.subspan(kLengthBytes, packet - kLengthBytes));
  }
  ~ChaChaPackets() override { ::explicit_bzero(first_block_.data(), first_block_.size()); }

 private:
  // Block 0 of the key stream is the MAC key; the stream then stands at block 1, where the text begins.
  bool start(std::uint32_t sequence) {
    first_block_.fill(0);
    return text_.seek(sequence) && text_.apply(first_block_);
  }

  crypto::ChaCha20 text_;
  crypto::ChaCha20 length_;
  crypto::Poly1305 mac_;
  std::array<std::uint8_t, 64> first_block_{};
};

// AES-CTR with an HMAC of its own; the two orders differ in what the MAC is over and whether packet_length is hidden.
class CtrPackets : public PacketCipher {
 protected:
  CtrPackets(Layout layout, crypto::AesCtr cipher, crypto::KeyedHmac mac)
      : PacketCipher(layout), cipher_(std::move(cipher)), mac_(std::move(mac)) {}

  crypto::AesCtr& cipher() { return cipher_; }
  bool apply(std::span<std::uint8_t> bytes) { return cipher_.apply(bytes); }
  bool put_tag(std::uint32_t sequence, BytesView packet, std::span<std::uint8_t> room) {
    if (!authenticate(sequence, packet)) return false;
    std::copy_n(tag_.begin(), room.size(), room.begin());
    return true;
  }
  bool tag_fits(std::uint32_t sequence, BytesView packet, BytesView tag) {
    return authenticate(sequence, packet) && equal_constant_time(BytesView(tag_).first(tag.size()), tag);
  }
  std::size_t packet_bytes(BytesView packet_and_tag) const { return packet_and_tag.size() - layout().tag_bytes; }

 private:
  bool authenticate(std::uint32_t sequence, BytesView packet) {
    const std::array<std::uint8_t, 4> number{
        static_cast<std::uint8_t>(sequence >> 24), static_cast<std::uint8_t>(sequence >> 16),
        static_cast<std::uint8_t>(sequence >> 8), static_cast<std::uint8_t>(sequence)};
    return mac_.compute(number, packet, tag_);
  }

  crypto::AesCtr cipher_;
  crypto::KeyedHmac mac_;
  std::array<std::uint8_t, kMaxTagBytes> tag_{};
};

// hmac-*-etm@openssh.com (OpenSSH's PROTOCOL §1.5).
class CtrEncryptThenMac final : public CtrPackets {
 public:
  CtrEncryptThenMac(crypto::AesCtr cipher, crypto::KeyedHmac mac)
      : CtrPackets({.block_bytes = 16,
                    .unaligned_bytes = kLengthBytes,
                    .head_bytes = kLengthBytes,
                    .tag_bytes = mac.tag_bytes()},
                   std::move(cipher), std::move(mac)) {}

  using PacketCipher::seal;
  bool seal(std::uint32_t sequence, std::span<std::uint8_t> all, const Text& text) override {
    const std::size_t packet = packet_bytes(all);
    return apply_body(cipher(), all.first(packet), text) && put_tag(sequence, all.first(packet), all.subspan(packet));
  }
  std::uint32_t open_length(std::uint32_t, std::span<std::uint8_t> head) override { return read_u32(head.data()); }
  bool open(std::uint32_t sequence, std::span<std::uint8_t> all) override {
    const std::size_t packet = packet_bytes(all);
    return tag_fits(sequence, all.first(packet), all.subspan(packet)) &&
           apply(all.subspan(kLengthBytes, packet - kLengthBytes));
  }
};

// RFC 4253 §6.4 as written: the MAC is over the clear packet, and packet_length is encrypted with the rest.
class CtrEncryptAndMac final : public CtrPackets {
 public:
  static constexpr std::size_t kBlockBytes = 16;

  CtrEncryptAndMac(crypto::AesCtr cipher, crypto::KeyedHmac mac)
      : CtrPackets(
            {.block_bytes = kBlockBytes, .unaligned_bytes = 0, .head_bytes = kBlockBytes, .tag_bytes = mac.tag_bytes()},
            std::move(cipher), std::move(mac)) {}

  using PacketCipher::seal;
  bool seal(std::uint32_t sequence, std::span<std::uint8_t> all, const Text& text) override {
    const std::size_t packet = packet_bytes(all);
    put(all, text);  // the MAC is over the clear packet
    return put_tag(sequence, all.first(packet), all.subspan(packet)) && apply(all.first(packet));
  }
  std::uint32_t open_length(std::uint32_t, std::span<std::uint8_t> head) override {
    return apply(head.first(kBlockBytes)) ? read_u32(head.data()) : 0;
  }
  bool open(std::uint32_t sequence, std::span<std::uint8_t> all) override {
    const std::size_t packet = packet_bytes(all);
    return apply(all.subspan(kBlockBytes, packet - kBlockBytes)) &&
           tag_fits(sequence, all.first(packet), all.subspan(packet));
  }
};

}  // namespace

std::unique_ptr<PacketCipher> make_clear_packets() { return std::make_unique<ClearPackets>(); }

Result<std::unique_ptr<PacketCipher>> make_packet_cipher(CipherDirection direction, const CipherAlgorithm& cipher,
                                                         const MacAlgorithm* mac, const PacketKeys& keys) {
  const bool mac_fits = cipher.is_aead() || (mac != nullptr && keys.mac_key.size() == mac->key_bytes);
  if (keys.key.size() != cipher.key_bytes || keys.iv.size() != cipher.iv_bytes || !mac_fits) {
    return fail(ErrorCode::kInvalidArgument, "keys do not fit {}", cipher.name);
  }
  switch (cipher.kind) {
    case CipherKind::kAesGcm: {
      const auto way =
          direction == CipherDirection::kSeal ? crypto::AeadDirection::kSeal : crypto::AeadDirection::kOpen;
      MEZ_TRY(auto aead, crypto::AesGcmStream::create(way, keys.key.view()));
      return std::make_unique<GcmPackets>(std::move(aead), keys.iv.view());
    }
    case CipherKind::kChaCha20Poly1305: {
      MEZ_TRY(auto text, crypto::ChaCha20::create(keys.key.view().first(32)));
      MEZ_TRY(auto length, crypto::ChaCha20::create(keys.key.view().subspan(32)));
      MEZ_TRY(auto poly1305, crypto::Poly1305::create());
      return std::make_unique<ChaChaPackets>(std::move(text), std::move(length), std::move(poly1305));
    }
    case CipherKind::kAesCtr: {
      MEZ_TRY(auto stream, crypto::AesCtr::create(keys.key.view(), keys.iv.view()));
      MEZ_TRY(auto hmac, crypto::KeyedHmac::create(mac->hash, keys.mac_key.view()));
      if (mac->order == MacOrder::kEncryptThenMac) {
        return std::make_unique<CtrEncryptThenMac>(std::move(stream), std::move(hmac));
      }
      return std::make_unique<CtrEncryptAndMac>(std::move(stream), std::move(hmac));
    }
  }
  return fail(ErrorCode::kInternal, "no such cipher");
}

}  // namespace mezite::ssh
