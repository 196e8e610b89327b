// A peer with no rules against a transport: each test is an incident that happened to someone, or the rule that would
// have prevented it. The outcome is always the same: disconnected, a constant reason, nothing delivered.
#include <gtest/gtest.h>

#include "crypto/random.hh"
#include "ssh/transport/testing/pair.hh"
#include "ssh/transport/testing/raw_peer.hh"

namespace mezite::ssh {
namespace {

using namespace std::string_literals;
using testing::client_config;
using testing::RawPeer;
using testing::RememberingSink;
using testing::server_config;

// A transport of one role and its raw peer of the other.
struct Scene {
  explicit Scene(Role role, std::function<void(TransportConfig&)> change = {}) : role_(role) {
    auto config = role == Role::kServer ? server_config() : client_config();
    if (change) change(config);
    transport =
        testing::must(Transport::create(std::make_shared<const TransportConfig>(std::move(config)), clock, sink));
    peer.emplace(role == Role::kServer ? Role::kClient : Role::kServer, *transport);
  }
  // Refused: an error, closed for good, and nothing reached the sink since `delivered`.
  void expect_refused(const Status& status, std::size_t delivered = 0) {
    EXPECT_FALSE(status);
    EXPECT_TRUE(transport->closed());
    EXPECT_EQ(sink.packets_.size(), delivered);
    EXPECT_FALSE(transport->send(Bytes{94, 1}));
    const auto room = transport->read_space(16);
    EXPECT_GE(room.size(), 16u);
    EXPECT_FALSE(transport->commit_read(0));
  }
  // And DISCONNECT with this reason is pending.
  void expect_disconnect(const Status& status, DisconnectReason reason, std::size_t delivered = 0) {
    expect_refused(status, delivered);
    const auto message = RawPeer::find(peer->receive(), MessageNumber::kDisconnect);
    ASSERT_TRUE(message);
    EXPECT_EQ(testing::must(decode<DisconnectMessage>(*message)).reason, reason);
  }
  // A connection in the phase given, made by the peer.
  void establish(Phase phase) {
    ASSERT_TRUE(peer->handshake());
    if (phase == Phase::kTransport) return;
    ASSERT_TRUE(role_ == Role::kServer ? peer->send_message(ServiceRequest{.service = "ssh-userauth"})
                                       : peer->send_message(ServiceAccept{.service = "ssh-userauth"}));
    transport->set_phase(phase);
    ASSERT_EQ(transport->phase(), phase);
    peer->receive();
  }

  ManualClock clock;
  RememberingSink sink;
  std::unique_ptr<Transport> transport;
  std::optional<RawPeer> peer;

 private:
  Role role_;
};

struct ServerScene : Scene {
  explicit ServerScene(std::function<void(TransportConfig&)> change = {}) : Scene(Role::kServer, std::move(change)) {}
};
struct ClientScene : Scene {
  explicit ClientScene(std::function<void(TransportConfig&)> change = {}) : Scene(Role::kClient, std::move(change)) {}
};

Bytes message(int number, std::size_t size = 8) {
  Bytes bytes(size);
  bytes[0] = static_cast<std::uint8_t>(number);
  return bytes;
}

// ---- Identification

TEST(HostileIdentification, OverLongIsRefusedBeforeItEnds) {  // russh CVE-2026-48108
  ServerScene scene;
  scene.expect_refused(scene.peer->raw("SSH-2.0-" + std::string(100'000, 'A')));
}

TEST(HostileIdentification, OverLongByteByByte) {  // russh CVE-2026-48108
  for (const Role role : {Role::kServer, Role::kClient}) {
    Scene scene(role);
    Status status;
    int bytes = 0;
    for (; status && bytes < 1000; ++bytes) status = scene.peer->raw(bytes < 8 ? "SSH-2.0-"s.substr(bytes, 1) : "A"s);
    scene.expect_refused(status);
    EXPECT_EQ(bytes, 255);
  }
}

TEST(HostileIdentification, ExactlyTheLongestIsTaken) {
  ServerScene scene;
  EXPECT_TRUE(scene.peer->raw("SSH-2.0-" + std::string(255 - 8 - 2, 'A') + "\r\n"));
  EXPECT_EQ(scene.transport->peer_version().size(), 253u);
}

TEST(HostileIdentification, NulIsRefused) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    Scene scene(role);
    scene.expect_refused(scene.peer->raw("SSH-2.0-a\0b\r\n"s));
  }
}

TEST(HostileIdentification, OtherProtocolsGetNoAnswerFromAServer) {
  for (const auto* text : {"GET / HTTP/1.1\r\n", "SSH-1.5-old\r\n", "SSH-1.99-both\r\n", "\r\n", "\x16\x03\x01"}) {
    ServerScene scene;
    const auto said = scene.transport->pending_output().size();
    scene.expect_refused(scene.peer->raw(text));
    EXPECT_EQ(scene.transport->pending_output().size(), said) << text;
  }
}

TEST(HostileIdentification, LinesBeforeItAreBoundedForAClient) {
  {
    ClientScene scene;
    for (int i = 0; i < 63; ++i) ASSERT_TRUE(scene.peer->raw("hello\r\n"));
    ASSERT_TRUE(scene.peer->raw("SSH-2.0-x\n"));
    EXPECT_EQ(scene.transport->peer_version(), "SSH-2.0-x");
  }
  ClientScene scene;
  Status status;
  int lines = 0;
  while ((status = scene.peer->raw("hello\r\n")) && lines < 1000) ++lines;
  scene.expect_refused(status);
  EXPECT_EQ(lines, 63);
}

TEST(HostileIdentification, ControlCharactersAreRefused) {
  ServerScene scene;
  scene.expect_refused(scene.peer->raw("SSH-2.0-\x1b[2Jevil\r\n"));
}

// ---- Packets

// A packet_length, and then zeros.
Bytes with_length(std::uint32_t length, std::uint8_t padding = 4, std::size_t size = 64) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(length >> (24 - 8 * i));
  bytes[4] = padding;
  bytes[5] = 20;
  return bytes;
}

TEST(HostilePacket, ImpossibleLengthsInTheClear) {
  for (const std::uint32_t length : {0u, 1u, 2u, 3u, 4u, 5u, 11u, 13u, 29u, 0x7ffffffcu, 0x80000000u, 0xfffffff4u,
                                     0xfffffffcu, 0xffffffffu, 262148u + 8}) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    scene.expect_disconnect(scene.peer->raw(with_length(length)), DisconnectReason::kProtocolError);
  }
}

TEST(HostilePacket, ImpossibleLengthsUnderGcm) {
  for (const std::uint32_t length : {0u, 1u, 4u, 15u, 17u, 0x80000000u, 0xfffffff0u, 0xffffffffu}) {
    ServerScene scene;
    scene.establish(Phase::kConnection);
    scene.expect_disconnect(scene.peer->raw(with_length(length)), DisconnectReason::kProtocolError);
  }
}

TEST(HostilePacket, ALengthIsBelievedOnlyWithItsBytes) {  // nothing is allocated for what was announced
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  ASSERT_TRUE(scene.peer->raw(with_length(262140)));
  EXPECT_LT(scene.transport->read_space(1).size(), 70'000u);
}

TEST(HostilePacket, PaddingUnderFourOrOverThePacket) {  // russh CVE-2024-43410
  for (const int padding : {0, 1, 2, 3, 11, 12, 13, 16, 200, 255}) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    scene.expect_disconnect(scene.peer->raw(with_length(12, static_cast<std::uint8_t>(padding), 16)),
                            DisconnectReason::kProtocolError);
  }
}

TEST(HostilePacket, PaddingOverThePacketUnderEveryCipher) {  // russh CVE-2024-43410
  for (const auto& cipher : cipher_algorithms()) {
    ServerScene scene;
    scene.peer->cipher = cipher.name;
    scene.establish(Phase::kConnection);
    // An empty payload: all padding.
    scene.expect_disconnect(scene.peer->send({}), DisconnectReason::kProtocolError);
  }
}

TEST(HostilePacket, AnyFlippedBitEndsTheConnection) {
  for (const auto& cipher : cipher_algorithms()) {
    for (const auto& mac : mac_algorithms()) {
      if (cipher.is_aead() && &mac != &mac_algorithms()[0]) continue;
      SCOPED_TRACE(fmt::format("{} {}", cipher.name, mac.name));
      ServerScene prototype;
      for (std::size_t bit = 0; bit < 8 * 100; bit += 13) {
        ServerScene scene;
        scene.peer->cipher = cipher.name;
        scene.peer->mac = mac.name;
        scene.establish(Phase::kConnection);
        Bytes sealed = scene.peer->seal(message(94, 40));
        if (bit / 8 >= sealed.size()) break;
        sealed[bit / 8] = static_cast<std::uint8_t>(sealed[bit / 8] ^ (1u << (bit % 8)));
        auto status = scene.peer->raw(sealed);
        // A changed length may ask for more first.
        const Bytes more = crypto::random_bytes(300'000);
        if (status) status = scene.peer->raw(more);
        scene.expect_refused(status);
      }
    }
  }
}

TEST(HostilePacket, ReplayedAndReorderedPackets) {
  for (const bool strict : {true, false}) {
    for (const auto& cipher : cipher_algorithms()) {
      ServerScene scene;
      scene.peer->cipher = cipher.name;
      scene.peer->strict = strict;
      scene.establish(Phase::kConnection);
      const Bytes first = scene.peer->seal(message(94));
      const Bytes second = scene.peer->seal(message(94));
      ASSERT_TRUE(scene.peer->raw(first));
      scene.expect_refused(scene.peer->raw(first), 1);
      ServerScene other;
      other.peer->cipher = cipher.name;
      other.peer->strict = strict;
      other.establish(Phase::kConnection);
      other.peer->seal(message(94));
      other.expect_refused(other.peer->raw(other.peer->seal(message(94))));
    }
  }
}

TEST(HostilePacket, NoCompressionIsAgreedOn) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  auto init = scene.peer->kexinit();
  init.compression_client_to_server = NameList({"zlib", "zlib@openssh.com"});
  scene.expect_disconnect(scene.peer->send_kexinit(init), DisconnectReason::kKeyExchangeFailed);
}

// ---- KEXINIT

Bytes kexinit_with_list(BytesView list) {
  Bytes payload{20};
  payload.resize(17);
  Writer writer(payload);
  for (int i = 0; i < 10; ++i) writer.string(list);
  writer.boolean(false).u32(0);
  return payload;
}

TEST(HostileKexInit, BadNameLists) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += (i == 0 ? "a" : ",a");
  for (const std::string& list : {""s, ","s, "curve25519-sha256,"s, ",curve25519-sha256"s, "curve\xc3\xa9"s, "a b"s,
                                  "nul\0nul"s, std::string(200'000, 'a'), many, "\x7f"s}) {
    for (const Role role : {Role::kServer, Role::kClient}) {
      Scene scene(role);
      ASSERT_TRUE(scene.peer->send_version());
      scene.expect_refused(scene.peer->send(kexinit_with_list(as_bytes(list))));
    }
  }
}

TEST(HostileKexInit, DuplicatesDoNoHarm) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  auto init = scene.peer->kexinit();
  auto names = init.kex_algorithms.names();
  names.insert(names.begin(), {"unknown", "curve25519-sha256", "curve25519-sha256"});
  init.kex_algorithms = NameList(names);
  ASSERT_TRUE(scene.peer->send_kexinit(init));
  scene.peer->receive();
  ASSERT_TRUE(scene.peer->send_ecdh_init());
  EXPECT_TRUE(RawPeer::find(scene.peer->receive(), MessageNumber::kKexEcdhReply));
}

TEST(HostileKexInit, MarkersAreNeverNegotiated) {
  for (const auto* marker : {"kex-strict-s-v00@openssh.com", "ext-info-s", "ext-info-c"}) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    auto init = scene.peer->kexinit();
    init.kex_algorithms = NameList({marker});
    scene.expect_disconnect(scene.peer->send_kexinit(init), DisconnectReason::kKeyExchangeFailed);
  }
}

TEST(HostileKexInit, TruncatedAndTrailing) {
  const Bytes whole = encode(RawPeer(Role::kClient, *ServerScene().transport).kexinit());
  for (const std::size_t size : {std::size_t{1}, std::size_t{16}, std::size_t{17}, std::size_t{21}, whole.size() - 1}) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    scene.expect_refused(scene.peer->send(BytesView(whole).first(size)));
  }
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  Bytes trailing = whole;
  trailing.push_back(0);
  scene.expect_refused(scene.peer->send(trailing));
}

TEST(HostileKexInit, WrongGuessIsSkippedAndRightGuessIsUsed) {
  for (const bool right : {false, true}) {
    ServerScene scene([](TransportConfig& config) {
      config.algorithms.kex = {"curve25519-sha256", "ecdh-sha2-nistp256"};
      config.algorithms.host_keys = {"ssh-ed25519"};
    });
    ASSERT_TRUE(scene.peer->send_version());
    auto init = scene.peer->kexinit();
    auto names = init.kex_algorithms.names();
    if (!right) names.insert(names.begin(), "ecdh-sha2-nistp384");
    init.kex_algorithms = NameList(names);
    init.first_kex_packet_follows = true;
    ASSERT_TRUE(scene.peer->send_kexinit(init));
    if (!right) {
      ASSERT_TRUE(scene.peer->send(message(30, 100)));
    }
    scene.peer->receive();
    ASSERT_TRUE(scene.peer->send_ecdh_init());
    EXPECT_TRUE(RawPeer::find(scene.peer->receive(), MessageNumber::kKexEcdhReply));
  }
}

TEST(HostileKexInit, OnlyAKeyExchangeMessageIsSkippedAsAGuess) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  auto init = scene.peer->kexinit();
  init.kex_algorithms = NameList({"other", "curve25519-sha256", kStrictKexClient});
  init.first_kex_packet_follows = true;
  ASSERT_TRUE(scene.peer->send_kexinit(init));
  scene.expect_disconnect(scene.peer->send(message(50)), DisconnectReason::kProtocolError);
}

TEST(HostileKexInit, ASecondOneIsRefused) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  ASSERT_TRUE(scene.peer->send_kexinit());
  scene.expect_disconnect(scene.peer->send_kexinit(), DisconnectReason::kProtocolError);
}

// ---- Key exchange values

TEST(HostileKexValue, LowOrderWrongLengthAndOffCurve) {
  Bytes one(32);
  one[0] = 1;
  Bytes off_curve(65, 1);
  off_curve[0] = 4;
  const std::pair<const char*, Bytes> cases[] = {
      {"curve25519-sha256", Bytes(32)},    {"curve25519-sha256", one},
      {"curve25519-sha256", {}},           {"curve25519-sha256", Bytes(31, 9)},
      {"curve25519-sha256", Bytes(33, 9)}, {"curve25519-sha256", Bytes(60'000, 9)},
      {"ecdh-sha2-nistp256", Bytes(1)},    {"ecdh-sha2-nistp256", Bytes(65)},
      {"ecdh-sha2-nistp256", off_curve},   {"ecdh-sha2-nistp256", Bytes(33, 2)},
  };
  for (const auto& [kex, value] : cases) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    auto init = scene.peer->kexinit();
    init.kex_algorithms = NameList({kex, kStrictKexClient});
    ASSERT_TRUE(scene.peer->send_kexinit(init));
    scene.expect_disconnect(scene.peer->send_message(KexEcdhInit{.client_public = value}),
                            DisconnectReason::kKeyExchangeFailed);
  }
}

// The client's side of it, and host keys and signatures that do not fit.
TEST(HostileKexValue, BadReplies) {
  const auto key = testing::test_key(KeyType::kEd25519);
  const auto rsa = testing::test_key(KeyType::kRsa);
  for (int bad = 0; bad < 6; ++bad) {
    ClientScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    ASSERT_TRUE(scene.peer->send_kexinit());
    scene.peer->receive();
    const auto agreement = *crypto::KeyAgreement::generate(crypto::KeyAgreementGroup::kX25519);
    Bytes host_key = key->public_key().wire();
    Bytes server_public = to_bytes(agreement.public_value());
    Bytes signature = *key->sign("ssh-ed25519", as_bytes("something else"));
    switch (bad) {
      case 0: break;
      case 1: server_public = Bytes(32); break;
      case 2: host_key = rsa->public_key().wire(); break;  // not what was agreed on
      case 3: host_key = testing::test_host_certificate(KeyType::kEd25519); break;
      case 4: host_key = Bytes(5000, 0xff); break;
      case 5: signature = {}; break;
      default: break;
    }
    scene.expect_disconnect(scene.peer->send_message(KexEcdhReply{
                                .host_key = host_key, .server_public = server_public, .signature = signature}),
                            DisconnectReason::kKeyExchangeFailed);
  }
}

// ---- Strict KEX: Terrapin, CVE-2023-48795

TEST(Terrapin, MessagesBeforeKexInitUnderStrictKex) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    for (const int number : {2, 3, 4}) {
      Scene scene(role);
      ASSERT_TRUE(scene.peer->send_version());
      const Bytes ignore = number == 4 ? encode(DebugMessage{}) : message(number, 5);
      ASSERT_TRUE(scene.peer->send(ignore));  // whether it is strict is not known yet
      scene.expect_disconnect(scene.peer->send_kexinit(), DisconnectReason::kProtocolError);
    }
  }
}

TEST(Terrapin, MessagesDuringTheFirstKeyExchangeUnderStrictKex) {
  for (const int number : {2, 3, 4}) {
    ServerScene scene;
    ASSERT_TRUE(scene.peer->send_version());
    ASSERT_TRUE(scene.peer->send_kexinit());
    scene.expect_disconnect(scene.peer->send(message(number, 5)), DisconnectReason::kProtocolError);

    ServerScene later;
    ASSERT_TRUE(later.peer->send_version());
    ASSERT_TRUE(later.peer->send_kexinit());
    later.peer->receive();
    ASSERT_TRUE(later.peer->send_ecdh_init());
    later.expect_refused(later.peer->send(message(number, 5)));
  }
}

TEST(Terrapin, WithoutStrictKexTheyAreLegal) {
  ServerScene scene;
  scene.peer->strict = false;
  ASSERT_TRUE(scene.peer->send_version());
  ASSERT_TRUE(scene.peer->send(message(2, 5)));
  ASSERT_TRUE(scene.peer->exchange_keys());
  EXPECT_FALSE(scene.transport->session_id().empty());
}

TEST(Terrapin, TheAttackItself) {
  // An IGNORE put in before NEWKEYS and the first sealed packet taken away keep the sequence numbers in step. With the
  // reset at NEWKEYS they no longer are, even if the insertion were to go unnoticed.
  ServerScene scene;
  scene.peer->cipher = "chacha20-poly1305@openssh.com";
  ASSERT_TRUE(scene.peer->handshake());
  scene.peer->seal(encode(ExtInfo{}));  // taken away
  scene.expect_refused(scene.peer->send_message(ServiceRequest{.service = "ssh-userauth"}));
}

TEST(StrictKex, OnlyThePeersOwnMarkerCounts) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  ASSERT_TRUE(scene.peer->send(message(2, 5)));
  auto init = scene.peer->kexinit();
  init.kex_algorithms = NameList({"curve25519-sha256", kStrictKexServer});
  EXPECT_TRUE(scene.peer->send_kexinit(init));
}

TEST(HostileState, EveryMessageButTheExpectedOneBeforeNewKeys) {
  for (int number = 0; number < 256; ++number) {
    const auto n = static_cast<std::uint8_t>(number);
    if (n == 1) continue;
    if (n != 20 && !(n >= 2 && n <= 4)) {  // before KEXINIT
      ServerScene scene;
      ASSERT_TRUE(scene.peer->send_version());
      scene.expect_disconnect(scene.peer->send(message(n, 40)), DisconnectReason::kProtocolError);
    }
    if (n != 30) {
      ServerScene scene;
      ASSERT_TRUE(scene.peer->send_version());
      ASSERT_TRUE(scene.peer->send_kexinit());
      scene.expect_disconnect(scene.peer->send(message(n, 40)), DisconnectReason::kProtocolError);
    }
    if (n != 21) {
      ServerScene scene;
      ASSERT_TRUE(scene.peer->send_version());
      ASSERT_TRUE(scene.peer->send_kexinit());
      scene.peer->receive();
      ASSERT_TRUE(scene.peer->send_ecdh_init());
      scene.expect_refused(scene.peer->send(message(n, 40)));
    }
    if (n != 31) {
      ClientScene scene;
      ASSERT_TRUE(scene.peer->send_version());
      ASSERT_TRUE(scene.peer->send_kexinit());
      scene.expect_disconnect(scene.peer->send(message(n, 40)), DisconnectReason::kProtocolError);
    }
  }
}

// ---- Phases

TEST(HostileState, AClientThatSendsTheServersMessages) {  // libssh CVE-2018-10933
  for (const int number : {6, 31, 51, 52, 53, 60}) {
    ServerScene scene;
    scene.establish(Phase::kUserauth);
    scene.expect_disconnect(scene.peer->send(message(number)), DisconnectReason::kProtocolError);
  }
}

TEST(HostileState, AServerThatSendsTheClientsMessages) {
  for (const int number : {5, 30, 50, 61}) {
    ClientScene scene;
    scene.establish(Phase::kUserauth);
    scene.expect_disconnect(scene.peer->send(message(number)), DisconnectReason::kProtocolError);
  }
}

TEST(HostileState, ConnectionMessagesBeforeAuthentication) {  // Erlang CVE-2025-32433
  for (const Phase phase : {Phase::kTransport, Phase::kUserauth}) {
    for (std::uint8_t number = 80; number <= 127; ++number) {
      ServerScene scene;
      scene.establish(phase);
      scene.expect_disconnect(scene.peer->send(message(number)), DisconnectReason::kProtocolError);
    }
  }
}

TEST(HostileState, ConnectionMessagesInThePlain) {  // Erlang CVE-2025-32433, without any key exchange
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  scene.expect_disconnect(scene.peer->send(message(90, 60)), DisconnectReason::kProtocolError);
}

TEST(HostileState, AuthenticationBeforeTheServiceIsRequested) {
  ServerScene scene;
  scene.establish(Phase::kTransport);
  scene.expect_disconnect(scene.peer->send(message(50)), DisconnectReason::kProtocolError);
}

TEST(HostileState, OtherServicesAreNotAvailable) {
  for (const std::string& service : {"ssh-connection"s, ""s, "ssh-userauth\0x"s}) {
    ServerScene scene;
    scene.establish(Phase::kTransport);
    scene.expect_disconnect(scene.peer->send_message(ServiceRequest{.service = service}),
                            DisconnectReason::kServiceNotAvailable);
  }
}

TEST(HostileState, TheServiceIsRequestedOnce) {
  ServerScene scene;
  scene.establish(Phase::kUserauth);
  scene.expect_disconnect(scene.peer->send_message(ServiceRequest{.service = "ssh-userauth"}),
                          DisconnectReason::kProtocolError);
}

TEST(HostileState, DataDuringThePeersOwnKeyExchange) {  // RFC 4253 §7.1
  ServerScene scene;
  scene.establish(Phase::kConnection);
  ASSERT_TRUE(scene.peer->send_kexinit());
  scene.expect_disconnect(scene.peer->send(message(94)), DisconnectReason::kProtocolError);
}

TEST(HostileState, LateAuthenticationRequestsAreIgnored) {  // RFC 4252 §5.1
  ServerScene scene;
  scene.establish(Phase::kConnection);
  EXPECT_TRUE(scene.peer->send(message(50)));
  EXPECT_TRUE(scene.peer->send(message(94)));
  EXPECT_EQ(scene.sink.packets_.size(), 1u);
}

TEST(HostileState, ExtInfoIsBounded) {
  ServerScene scene;
  scene.establish(Phase::kTransport);
  ASSERT_TRUE(scene.peer->send_message(ExtInfo{}));
  scene.expect_disconnect(scene.peer->send_message(ExtInfo{}), DisconnectReason::kProtocolError);

  ClientScene other;
  other.establish(Phase::kTransport);
  Bytes lying{7};
  Writer(lying).u32(0xffffffff);
  other.expect_disconnect(other.peer->send(lying), DisconnectReason::kProtocolError);
}

// ---- Floods: OpenSSH CVE-2025-26466

TEST(Flood, MessagesWithoutEffectBeforeAuthentication) {
  const Bytes kinds[] = {encode(IgnoreMessage{}), encode(DebugMessage{}), encode(UnimplementedMessage{}),
                         encode(Ping{}), message(200)};
  for (const auto& kind : kinds) {
    for (const Phase phase : {Phase::kTransport, Phase::kUserauth}) {
      ServerScene scene;
      scene.establish(phase);
      Status status;
      int count = 0;
      while (count < 10'000 && (status = scene.peer->send(kind))) ++count;
      scene.expect_refused(status);
      EXPECT_LE(count, 256);
      EXPECT_LT(scene.transport->output_size(), 100'000u);
    }
  }
}

TEST(Flood, IgnoreBeforeTheFirstKeyExchange) {
  ServerScene scene;
  ASSERT_TRUE(scene.peer->send_version());
  Status status;
  int count = 0;
  while (count < 10'000 && (status = scene.peer->send(encode(IgnoreMessage{})))) ++count;
  scene.expect_refused(status);
  EXPECT_LE(count, 256);
}

TEST(Flood, PingsWhoseAnswersAreNotRead) {
  for (const bool rekeying : {false, true}) {  // CVE-2025-26466 kept the answers back during a key exchange
    ServerScene scene;
    scene.establish(Phase::kConnection);
    if (rekeying) scene.transport->start_rekey();
    const Bytes data(8000);
    Status status;
    int count = 0;
    while (count < 100'000 && (status = scene.peer->send_message(Ping{.data = data}))) ++count;
    scene.expect_refused(status);
    EXPECT_LT(scene.transport->output_size(), 6u * 1024 * 1024);
  }
}

TEST(Flood, PingsThatAreReadAreAnswered) {
  ServerScene scene;
  scene.establish(Phase::kConnection);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(scene.peer->send_message(Ping{.data = as_bytes("PING!")}));
    const auto pong = RawPeer::find(scene.peer->receive(), MessageNumber::kPong);
    ASSERT_TRUE(pong);
    EXPECT_EQ(to_text(testing::must(decode<Pong>(*pong)).data), "PING!");
  }
  ASSERT_TRUE(scene.peer->send_message(Pong{}));  // unsolicited
  EXPECT_FALSE(scene.peer->send_message(Ping{.data = Bytes(8193)}));
}

TEST(Flood, UnknownMessagesAreAnsweredWithTheirNumber) {
  ServerScene scene;
  scene.establish(Phase::kConnection);
  ASSERT_TRUE(scene.peer->send(message(94)));
  ASSERT_TRUE(scene.peer->send(message(200)));
  const auto answer = RawPeer::find(scene.peer->receive(), MessageNumber::kUnimplemented);
  ASSERT_TRUE(answer);
  EXPECT_EQ(testing::must(decode<UnimplementedMessage>(*answer)).sequence_number, 2u);  // service request, 94, 200
  EXPECT_EQ(scene.sink.packets_.size(), 1u);
}

TEST(Flood, GarbageOfAnyKindNeverGetsFar) {
  for (int round = 0; round < 300; ++round) {
    Scene scene(round % 2 == 0 ? Role::kServer : Role::kClient);
    if (round % 3 != 0) {
      ASSERT_TRUE(scene.peer->send_version());
    }
    if (round % 3 == 2) {
      ASSERT_TRUE(scene.peer->send_kexinit());
    }
    Status status;
    for (int i = 0; i < 40 && status; ++i) status = scene.peer->raw(crypto::random_bytes(10'000));
    EXPECT_FALSE(status);
    EXPECT_TRUE(scene.sink.packets_.empty());
  }
}

}  // namespace
}  // namespace mezite::ssh
