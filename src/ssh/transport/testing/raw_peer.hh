// For tests and fuzz harnesses: the other end of a Transport with no rules at all. It can say anything at any time, and
// does the steps of a key exchange one by one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ssh/kex/exchange.hh"
#include "ssh/transport/packet_input.hh"
#include "ssh/transport/packet_output.hh"
#include "ssh/transport/testing/pair.hh"

namespace mezite::ssh::testing {

class RawPeer {
 public:
  // role: the peer's own.
  RawPeer(Role role, Transport& transport) : role_(role), transport_(transport) {}

  // ---- Bytes and packets
  Status raw(BytesView bytes) { return feed(transport_, bytes); }
  Status raw(std::string_view text) { return raw(as_bytes(text)); }
  // Seals a payload as it is and hands it over.
  Status send(BytesView payload) { return raw(seal(payload)); }
  template <FieldStruct T>
  Status send_message(const T& message) {
    return send(encode(message));
  }
  Bytes seal(BytesView payload) {
    must(out_.put(payload));
    Bytes bytes = to_bytes(out_.pending());
    out_.consume(bytes.size());
    return bytes;
  }
  // What the transport has said since the last call, in messages. Follows its change of keys.
  std::vector<Bytes> receive() {
    const Bytes bytes = drain(transport_);
    const auto room = in_.room(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    in_.commit(bytes.size());
    if (peer_version_.empty()) {
      const std::string_view text = as_text(in_.raw());
      const std::size_t end = text.find("\r\n");
      if (end == std::string_view::npos) return {};
      peer_version_ = text.substr(0, end);
      in_.consume_raw(end + 2);
    }
    std::vector<Bytes> messages;
    while (const auto payload = in_.next()) {
      messages.push_back(to_bytes(*payload));
      if (payload->front() == static_cast<std::uint8_t>(MessageNumber::kKexInit)) peer_kexinit_ = to_bytes(*payload);
      if (payload->front() == static_cast<std::uint8_t>(MessageNumber::kNewKeys) && next_in_) take_in_keys();
    }
    return messages;
  }
  // The first of the messages with that number.
  static std::optional<Bytes> find(const std::vector<Bytes>& messages, MessageNumber number) {
    for (const auto& message : messages) {
      if (message[0] == static_cast<std::uint8_t>(number)) return message;
    }
    return std::nullopt;
  }

  // ---- Key exchange, step by step
  KexInit kexinit() const {
    KexInit init;
    init.kex_algorithms = NameList({"curve25519-sha256", role_ == Role::kClient ? "ext-info-c" : "ext-info-s"});
    if (strict) {
      auto names = init.kex_algorithms.names();
      names.emplace_back(role_ == Role::kClient ? kStrictKexClient : kStrictKexServer);
      init.kex_algorithms = NameList(names);
    }
    init.server_host_key_algorithms = NameList({"ssh-ed25519"});
    init.encryption_client_to_server = init.encryption_server_to_client = NameList({cipher});
    init.mac_client_to_server = init.mac_server_to_client = NameList({mac});
    init.compression_client_to_server = init.compression_server_to_client = NameList({"none"});
    return init;
  }
  Status send_version() { return raw(version + "\r\n"); }
  Status send_kexinit(const KexInit& init) {
    own_kexinit_ = encode(init);
    return send(own_kexinit_);
  }
  Status send_kexinit() { return send_kexinit(kexinit()); }

  // Client: KEX_ECDH_INIT.
  Status send_ecdh_init() {
    exchange_ = must(ClientExchange::start(*find_kex_algorithm("curve25519-sha256")));
    return send_message(KexEcdhInit{.client_public = exchange_->client_public()});
  }
  // Client: takes KEX_ECDH_REPLY out of what was received, and gets ready for NEWKEYS both ways.
  void take_reply(BytesView payload) {
    const auto reply = must(decode<KexEcdhReply>(payload));
    auto result = must(exchange_->finish(preamble(), *find_public_key_algorithm("ssh-ed25519"), reply.host_key,
                                         reply.server_public, reply.signature));
    make_keys(std::move(result));
  }
  // Server: answers KEX_ECDH_INIT.
  Status send_reply(BytesView init_payload) {
    const auto init = must(decode<KexEcdhInit>(init_payload));
    const auto key = test_key(KeyType::kEd25519);
    auto exchange = must(ServerExchange::run(*find_kex_algorithm("curve25519-sha256"), preamble(),
                                             key->public_key().wire(), init.client_public));
    const Bytes signature = must(key->sign("ssh-ed25519", exchange.result.hash));
    auto status = send_message(KexEcdhReply{
        .host_key = key->public_key().wire(), .server_public = exchange.server_public, .signature = signature});
    make_keys(std::move(exchange.result));
    return status;
  }
  Status send_newkeys() {
    auto status = send_message(NewKeys{});
    out_.set_cipher(std::move(next_out_), strict ? PacketOutput::Sequence::kReset : PacketOutput::Sequence::kContinue);
    return status;
  }

  // All of it, up to and with NEWKEYS both ways. What came after the transport's NEWKEYS is in `later`.
  Status handshake() {
    MEZ_CHECK(send_version());
    return exchange_keys();
  }
  // Also for re-keying, by this peer.
  Status exchange_keys() {
    MEZ_CHECK(send_kexinit());
    if (role_ == Role::kClient) {
      receive();  // KEXINIT
      MEZ_CHECK(send_ecdh_init());
      take_reply_and_newkeys();
      return send_newkeys();
    }
    const auto messages = receive();
    const auto init = find(messages, MessageNumber::kKexEcdhInit);
    if (!init) return fail(ErrorCode::kProtocol, "no KEX_ECDH_INIT came");
    MEZ_CHECK(send_reply(*init));
    receive();  // NEWKEYS
    return send_newkeys();
  }

  std::string version = "SSH-2.0-RawPeer";
  std::string cipher = "aes128-gcm@openssh.com";
  std::string mac = "hmac-sha2-256-etm@openssh.com";
  bool strict = true;
  std::vector<Bytes> later;

 private:
  ExchangePreamble preamble() const {
    const bool client = role_ == Role::kClient;
    return {.client_version = client ? version : peer_version_,
            .server_version = client ? peer_version_ : version,
            .client_kexinit = client ? own_kexinit_ : peer_kexinit_,
            .server_kexinit = client ? peer_kexinit_ : own_kexinit_};
  }
  // KEX_ECDH_REPLY, NEWKEYS and EXT_INFO lie in one run, and the keys of the last are known from the first.
  void take_reply_and_newkeys() {
    const Bytes bytes = drain(transport_);
    const auto room = in_.room(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    in_.commit(bytes.size());
    while (const auto payload = in_.next()) {
      const Bytes message = to_bytes(*payload);
      if (message[0] == static_cast<std::uint8_t>(MessageNumber::kKexEcdhReply)) {
        take_reply(message);
      } else if (message[0] == static_cast<std::uint8_t>(MessageNumber::kNewKeys) && next_in_) {
        take_in_keys();
      } else {
        later.push_back(message);
      }
    }
  }
  void make_keys(ExchangeResult result) {
    if (session_id_.empty()) session_id_ = result.hash;
    const bool client = role_ == Role::kClient;
    const DirectionAgreement agreed{.cipher = find_cipher_algorithm(cipher), .mac = find_mac_algorithm(mac)};
    const DirectionAgreement used{.cipher = agreed.cipher, .mac = agreed.cipher->is_aead() ? nullptr : agreed.mac};
    const auto to_server = derive_packet_keys(result, session_id_, KeyDirection::kClientToServer, used);
    const auto to_client = derive_packet_keys(result, session_id_, KeyDirection::kServerToClient, used);
    next_out_ =
        must(make_packet_cipher(CipherDirection::kSeal, *used.cipher, used.mac, client ? to_server : to_client));
    next_in_ = must(make_packet_cipher(CipherDirection::kOpen, *used.cipher, used.mac, client ? to_client : to_server));
  }
  void take_in_keys() {
    in_.set_cipher(std::move(next_in_), strict ? PacketInput::Sequence::kReset : PacketInput::Sequence::kContinue);
  }

  Role role_;
  Transport& transport_;
  PacketInput in_{std::size_t{1} << 20};
  PacketOutput out_;
  std::string peer_version_;
  Bytes own_kexinit_;
  Bytes peer_kexinit_;
  Bytes session_id_;
  std::optional<ClientExchange> exchange_;
  std::unique_ptr<PacketCipher> next_out_;
  std::unique_ptr<PacketCipher> next_in_;
};

}  // namespace mezite::ssh::testing
