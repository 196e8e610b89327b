// Re-keying: by every limit, by either side, by both at once, and in the middle of bulk data.
#include <gtest/gtest.h>

#include "ssh/transport/testing/pair.hh"
#include "ssh/transport/testing/raw_peer.hh"

namespace mezite::ssh {
namespace {

using testing::client_config;
using testing::Pair;
using testing::RawPeer;
using testing::server_config;

Bytes numbered(std::uint32_t number, std::size_t size) {
  Bytes bytes(size, 0x5a);
  bytes[0] = 94;
  for (std::size_t i = 0; i < 4; ++i) bytes[1 + i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return bytes;
}

// Both sides send count messages as fast as the other reads, and all arrive in order.
void check_bulk(Pair& pair, std::uint32_t count, std::size_t size) {
  for (std::uint32_t i = 0; i < count; ++i) {
    ASSERT_TRUE(pair.client->send(numbered(i, size)));
    ASSERT_TRUE(pair.server->send(numbered(i, size)));
    if (i % 7 == 0) {
      const auto status = pair.pump();
      ASSERT_TRUE(status) << status.error().message;
    }
  }
  ASSERT_TRUE(pair.pump());
  for (const auto* sink : {&pair.client_sink, &pair.server_sink}) {
    ASSERT_EQ(sink->packets_.size(), count);
    for (std::uint32_t i = 0; i < count; ++i) ASSERT_EQ(sink->packets_[i], numbered(i, size)) << i;
  }
}

TEST(Rekey, ByBytesInTheMiddleOfBulkDataBothWays) {
  for (const auto& cipher : AlgorithmPreferences::defaults().ciphers) {
    auto client = client_config();
    client.algorithms.ciphers = {cipher};
    auto server = server_config();
    client.rekey.bytes = 100'000;
    server.rekey.bytes = 130'000;
    Pair pair(client, server);
    ASSERT_TRUE(pair.connect());
    check_bulk(pair, 500, 3000);
    EXPECT_GT(pair.client->counters().key_exchanges, 8u);
    EXPECT_EQ(pair.client->counters().key_exchanges, pair.server->counters().key_exchanges);
    EXPECT_EQ(to_hex(pair.client->session_id()), to_hex(pair.server->session_id()));
  }
}

TEST(Rekey, OnEveryPacketOfEitherSide) {
  for (const bool both : {false, true}) {
    auto client = client_config();
    auto server = server_config();
    client.rekey.packets = 1;
    if (both) server.rekey.packets = 1;
    Pair pair(client, server);
    ASSERT_TRUE(pair.connect());
    check_bulk(pair, 60, 50);
    EXPECT_GT(pair.client->counters().key_exchanges, 8u);
  }
}

TEST(Rekey, ByTime) {
  auto config = client_config();
  config.rekey.time = std::chrono::minutes(10);
  Pair pair(config);
  ASSERT_TRUE(pair.connect());
  ASSERT_TRUE(pair.client->next_deadline());
  EXPECT_EQ(*pair.client->next_deadline(), pair.clock.steady() + std::chrono::minutes(10));
  pair.clock.advance(std::chrono::minutes(9));
  ASSERT_TRUE(pair.client->on_time());
  EXPECT_TRUE(pair.client->pending_output().empty());
  pair.clock.advance(std::chrono::minutes(1));
  ASSERT_TRUE(pair.client->on_time());
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server->counters().key_exchanges, 2u);
  EXPECT_EQ(pair.client_sink.key_exchanges_, 2);
  EXPECT_EQ(*pair.client->next_deadline(), pair.clock.steady() + std::chrono::minutes(10));
}

TEST(Rekey, BothSidesAtOnce) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  pair.client->start_rekey();
  pair.server->start_rekey();
  pair.client->start_rekey();  // one is running: nothing
  check_bulk(pair, 20, 100);
  EXPECT_EQ(pair.server->counters().key_exchanges, 2u);
}

// RFC 4253 §7.1: between KEXINIT and NEWKEYS nothing but the key exchange leaves.
TEST(Rekey, MessagesWaitForItsEndWithinBounds) {
  auto config = server_config();
  config.limits.max_queued_bytes = 100'000;
  Pair pair(client_config(), config);
  ASSERT_TRUE(pair.connect());
  pair.server->start_rekey();
  const std::size_t before = pair.server->pending_output().size();
  Status status;
  std::uint32_t queued = 0;
  while ((status = pair.server->send(numbered(queued, 1000))) && queued < 1000) ++queued;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  EXPECT_GT(queued, 90u);
  EXPECT_EQ(pair.server->pending_output().size(), before);
  EXPECT_GT(pair.server->output_size(), before + 90'000);
  ASSERT_TRUE(pair.pump());
  ASSERT_EQ(pair.client_sink.packets_.size(), queued);
  EXPECT_EQ(pair.client_sink.packets_.back(), numbered(queued - 1, 1000));
  EXPECT_EQ(pair.server->output_size(), 0u);
}

TEST(Rekey, AuthenticationMayEndDuringOne) {
  Pair pair;
  ASSERT_TRUE(pair.pump());
  pair.server->start_rekey();
  ASSERT_TRUE(pair.server->send(Bytes{52}));  // USERAUTH_SUCCESS
  pair.server->set_phase(Phase::kConnection);
  pair.client_sink.on_packet_ = [&](BytesView) {
    pair.client->set_phase(Phase::kConnection);
    return Status();
  };
  ASSERT_TRUE(pair.pump());
  ASSERT_TRUE(pair.client->send(numbered(1, 10)));
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server_sink.packets_.size(), 1u);
}

TEST(Rekey, NeverFinishedTimesOut) {
  Pair pair;
  ASSERT_TRUE(pair.connect());
  pair.server->start_rekey();
  testing::drain(*pair.server);  // and the client never hears of it
  // It may go on talking meanwhile,
  ASSERT_TRUE(pair.client->send(numbered(1, 10)));
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server_sink.packets_.size(), 1u);
  // but not for ever.
  pair.clock.advance(std::chrono::seconds(120));
  const auto status = pair.server->on_time();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
}

TEST(Rekey, WithNothingBetweenIsAFlood) {
  Pair pair;
  RawPeer peer(Role::kClient, *pair.server);
  ASSERT_TRUE(peer.handshake());
  Status status;
  int exchanges = 0;
  while (exchanges < 100 && (status = peer.exchange_keys())) ++exchanges;
  ASSERT_FALSE(status);
  EXPECT_LE(exchanges, 16);
  EXPECT_TRUE(pair.server->closed());
}

TEST(Rekey, WorksWithoutStrictKexToo) {
  Pair pair;
  RawPeer peer(Role::kClient, *pair.server);
  peer.strict = false;
  peer.cipher = "chacha20-poly1305@openssh.com";
  ASSERT_TRUE(peer.handshake());
  ASSERT_TRUE(peer.send_message(ServiceRequest{.service = "ssh-userauth"}));
  ASSERT_TRUE(peer.exchange_keys());
  ASSERT_TRUE(peer.exchange_keys());
  ASSERT_TRUE(peer.send(Bytes{50, 1}));
  EXPECT_EQ(pair.server_sink.packets_.size(), 1u);
  EXPECT_FALSE(pair.server->algorithms().strict_kex);
}

}  // namespace
}  // namespace mezite::ssh
