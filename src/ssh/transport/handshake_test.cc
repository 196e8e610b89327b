// Two transports in memory: every combination of algorithms, byte by byte, and what is known afterwards.
#include <gtest/gtest.h>

#include "ssh/kex/algorithms.hh"
#include "ssh/transport/testing/pair.hh"

namespace mezite::ssh {
namespace {

using testing::client_config;
using testing::Pair;
using testing::server_config;

constexpr std::uint8_t kGlobalRequest = 80;

Bytes message(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + size);
  bytes[0] = kGlobalRequest;
  return bytes;
}

// Connects and carries messages of many sizes both ways.
void check_works(Pair& pair) {
  const auto status = pair.connect();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(pair.client_sink.services_, 1);
  EXPECT_EQ(pair.server_sink.services_, 1);
  EXPECT_EQ(to_hex(pair.client->session_id()), to_hex(pair.server->session_id()));
  EXPECT_EQ(pair.client->session_id().size(),
            crypto::hash_size(find_kex_algorithm(pair.client->algorithms().kex)->hash));
  std::vector<Bytes> sent;
  for (const std::size_t size : {1u, 2u, 5u, 15u, 16u, 17u, 255u, 256u, 1000u, 32768u, 65536u}) {
    sent.push_back(message(size));
    ASSERT_TRUE(pair.client->send(sent.back()));
    ASSERT_TRUE(pair.server->send(sent.back()));
  }
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server_sink.packets_, sent);
  EXPECT_EQ(pair.client_sink.packets_, sent);
}

void check_algorithms(const std::string& kex, const std::string& host_key) {
  SCOPED_TRACE(kex + " " + host_key);
  auto config = client_config();
  config.algorithms.kex = {kex};
  config.algorithms.host_keys = {host_key};
  int asked = 0;
  config.verify_host_key = [&](const HostKeyOffer& offer) -> Status {
    ++asked;
    EXPECT_EQ(offer.algorithm, host_key);
    auto credential = parse_public_credential(offer.blob);
    EXPECT_TRUE(credential);
    EXPECT_EQ(std::holds_alternative<Certificate>(*credential), offer.algorithm.contains("-cert-"));
    return {};
  };
  Pair pair(config);
  check_works(pair);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(pair.client->algorithms().kex, kex);
  EXPECT_EQ(pair.server->algorithms().host_key, host_key);
  EXPECT_TRUE(pair.client->algorithms().strict_kex);
}

TEST(Handshake, EveryKexAndHostKeyAlgorithm) {
  const auto& all = AlgorithmPreferences::defaults();
  for (const auto& host_key : all.host_keys) check_algorithms("curve25519-sha256", host_key);
  for (const auto& kex : all.kex) {
    if (find_kex_algorithm(kex)->roles == KexRoles::kBoth) check_algorithms(kex, all.host_keys.front());
  }
}

TEST(Handshake, PrefersAPostQuantumMethod) {
  Pair pair;
  check_works(pair);
  EXPECT_EQ(pair.client->algorithms().kex, "mlkem768x25519-sha256");
}

// What they cost a server, anybody could ask it for.
TEST(Handshake, ServersDoNotOfferModulusGroups) {
  for (const auto* kex :
       {"diffie-hellman-group14-sha256", "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512"}) {
    auto client = client_config();
    client.algorithms.kex = {kex};
    Pair pair(client);
    const auto status = pair.connect();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("no common key exchange method"), std::string::npos);

    auto server = server_config();
    server.algorithms.kex = {kex};
    testing::RememberingSink sink;
    const auto refused =
        Transport::create(std::make_shared<const TransportConfig>(std::move(server)), pair.clock, sink);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Handshake, EveryCipherAndMac) {
  for (const auto& cipher : AlgorithmPreferences::defaults().ciphers) {
    for (const auto& mac : AlgorithmPreferences::defaults().macs) {
      SCOPED_TRACE(cipher + " " + mac);
      auto config = client_config();
      config.algorithms.ciphers = {cipher};
      config.algorithms.macs = {mac};
      Pair pair(config);
      check_works(pair);
      EXPECT_EQ(pair.server->algorithms().client_to_server.cipher, cipher);
      EXPECT_EQ(pair.server->algorithms().client_to_server.mac.empty(), !cipher.ends_with("-ctr"));
    }
  }
}

TEST(Handshake, ByteByByte) {
  Pair pair;
  while (!pair.client->pending_output().empty() || !pair.server->pending_output().empty()) {
    for (const std::uint8_t byte : testing::drain(*pair.client)) {
      ASSERT_TRUE(testing::feed(*pair.server, BytesView(&byte, 1)));
    }
    for (const std::uint8_t byte : testing::drain(*pair.server)) {
      ASSERT_TRUE(testing::feed(*pair.client, BytesView(&byte, 1)));
    }
  }
  check_works(pair);
}

TEST(Handshake, ServerTellsSignatureAlgorithms) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  EXPECT_EQ(pair.client_sink.ext_infos_, 1);
  const auto& names = pair.client->server_sig_algs();
  for (const auto* name : {"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"}) {
    EXPECT_NE(std::ranges::find(names, name), names.end()) << name;
  }
  EXPECT_EQ(std::ranges::find(names, "ssh-rsa"), names.end());
}

TEST(Handshake, VersionsAndCounters) {
  auto config = client_config();
  config.software = "SSH-2.0-Other_1.0 with comment";
  Pair pair(config);
  ASSERT_TRUE(pair.connect());
  EXPECT_EQ(pair.server->peer_version(), "SSH-2.0-Other_1.0 with comment");
  EXPECT_EQ(pair.client->peer_version(), "SSH-2.0-Mezite_0.1");
  EXPECT_EQ(pair.client->counters().bytes_out, pair.server->counters().bytes_in);
  EXPECT_EQ(pair.client->counters().bytes_in, pair.server->counters().bytes_out);
  EXPECT_EQ(pair.client->counters().packets_in, pair.server->counters().packets_out);
  EXPECT_EQ(pair.client->counters().key_exchanges, 1u);
  EXPECT_EQ(pair.client->output_size(), 0u);
}

TEST(Handshake, RefusedHostKeyEndsTheConnectionOnBothSides) {
  auto config = client_config();
  config.verify_host_key = [](const HostKeyOffer&) { return fail(ErrorCode::kPermissionDenied, "not in known_hosts"); };
  Pair pair(config);
  const auto status = pair.pump();
  ASSERT_FALSE(status);
  EXPECT_TRUE(pair.client->closed());
  EXPECT_TRUE(pair.server->closed());
  EXPECT_EQ(pair.server_sink.disconnect_.first, static_cast<std::uint32_t>(DisconnectReason::kHostKeyNotVerifiable));
  EXPECT_EQ(pair.client_sink.services_, 0);
  EXPECT_FALSE(pair.client->send(message(10)));
}

TEST(Handshake, NothingInCommonIsSaidWithBothLists) {
  auto client = client_config();
  client.algorithms.ciphers = {"aes128-ctr"};
  auto server = server_config();
  server.algorithms.ciphers = {"aes256-gcm@openssh.com"};
  Pair pair(client, server);
  const auto status = pair.pump();
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("aes128-ctr"), std::string::npos);
  EXPECT_NE(status.error().message.find("aes256-gcm@openssh.com"), std::string::npos);
}

TEST(Handshake, ConfigurationsThatCannotWorkAreRefused) {
  const auto create = [](TransportConfig config) {
    testing::RememberingSink sink;
    return Transport::create(std::make_shared<const TransportConfig>(std::move(config)), system_clock(), sink)
        .has_value();
  };
  EXPECT_TRUE(create(client_config()));
  auto config = client_config();
  config.verify_host_key = nullptr;
  EXPECT_FALSE(create(config));
  config = server_config();
  config.host_keys.clear();
  EXPECT_FALSE(create(config));
  config = server_config();
  config.host_keys.erase(config.host_keys.begin() + 1, config.host_keys.end());
  config.algorithms.host_keys = {"rsa-sha2-512"};
  EXPECT_FALSE(create(config));
  config = client_config();
  config.algorithms.kex = {"diffie-hellman-group1-sha1"};
  EXPECT_FALSE(create(config));
  config = client_config();
  config.algorithms.macs = {};
  EXPECT_FALSE(create(config));
  config = client_config();
  config.software = "SSH-2.0-Evil\r\nmore";
  EXPECT_FALSE(create(config));
}

TEST(Transport, PacketsInTwoPartsCoalesceInOneRun) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  std::vector<Bytes> sent;
  for (int i = 0; i < 50; ++i) {
    sent.push_back(message(static_cast<std::size_t>(100 + 700 * i)));
    const auto [head, text] = std::pair(BytesView(sent.back()).first(1 + i), BytesView(sent.back()).subspan(1 + i));
    ASSERT_TRUE(pair.server->send(head, text));
  }
  EXPECT_EQ(pair.server->output_size(), pair.server->pending_output().size());
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client_sink.packets_, sent);
}

TEST(Transport, MisuseOfTheOutputIsRefused) {
  Pair pair;
  EXPECT_FALSE(pair.client->send(message(10)));  // before there are keys
  ASSERT_TRUE(pair.connect());
  EXPECT_FALSE(pair.client->send({}));
  EXPECT_FALSE(pair.client->send({}, message(10)));
  EXPECT_FALSE(pair.client->send(message(10), Bytes(std::size_t{1} << 20)));
}

TEST(Transport, OutputIsBounded) {
  auto config = server_config();
  config.limits.max_output_bytes = 1 << 20;
  Pair pair(client_config(), config);
  ASSERT_TRUE(pair.connect());
  Status status;
  int sent = 0;
  while ((status = pair.server->send(message(30000))) && sent < 1000) ++sent;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  EXPECT_LE(pair.server->output_size(), std::size_t{1} << 20);
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client_sink.packets_.size(), static_cast<std::size_t>(sent));
  EXPECT_TRUE(pair.server->send(message(30000)));
}

TEST(Transport, HeldInputWaits) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  pair.server_sink.on_packet_ = [&](BytesView) {
    pair.server->hold_input();
    return Status();
  };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pair.client->send(message(10)));
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server_sink.packets_.size(), 1u);
  ASSERT_TRUE(pair.server->release_input());
  EXPECT_EQ(pair.server_sink.packets_.size(), 2u);
  ASSERT_TRUE(pair.server->release_input());
  EXPECT_EQ(pair.server_sink.packets_.size(), 3u);
}

TEST(Transport, ErrorsOfTheSinkReachThePeerAsAConstant) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  pair.server_sink.on_packet_ = [](BytesView) { return fail(ErrorCode::kProtocol, "detail for our log only"); };
  ASSERT_TRUE(pair.client->send(message(10)));
  const auto status = pair.pump();
  ASSERT_FALSE(status);
  EXPECT_EQ(pair.client_sink.disconnect_, std::pair(2u, std::string("protocol error")));
  EXPECT_TRUE(pair.server->closed() && pair.client->closed());
  EXPECT_FALSE(pair.server->next_deadline());
}

TEST(Transport, DisconnectIsTheLastWord) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  ASSERT_TRUE(pair.server->send(message(10)));
  pair.server->disconnect(DisconnectReason::kNoMoreAuthMethodsAvailable, "too many failures");
  EXPECT_FALSE(pair.server->send(message(10)));
  static_cast<void>(pair.pump());
  EXPECT_EQ(pair.client_sink.packets_.size(), 1u);
  EXPECT_EQ(pair.client_sink.disconnect_, std::pair(14u, std::string("too many failures")));
  EXPECT_TRUE(pair.client->pending_output().empty());
}

TEST(Transport, HalfOpenConnectionsTimeOut) {
  Pair pair;
  ASSERT_TRUE(pair.server->next_deadline());
  EXPECT_TRUE(pair.server->on_time());
  pair.clock.advance(std::chrono::seconds(19));
  EXPECT_TRUE(pair.server->on_time());
  pair.clock.advance(std::chrono::seconds(1));
  EXPECT_LE(*pair.server->next_deadline(), pair.clock.steady());
  const auto status = pair.server->on_time();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
  EXPECT_TRUE(pair.server->closed());
}

}  // namespace
}  // namespace mezite::ssh
