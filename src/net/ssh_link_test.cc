#include "net/ssh_link.hh"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "net/channel_relay.hh"
#include "net/testing.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/endpoint/server.hh"
#include "ssh/keys/private_key.hh"

namespace mezite::net {
namespace {

using namespace std::chrono_literals;
using testing::Box;
using testing::RunningShard;
using testing::TcpPair;

std::shared_ptr<const ssh::PrivateKey> new_key() {
  return std::make_shared<const ssh::PrivateKey>(*ssh::PrivateKey::generate(ssh::KeyType::kEd25519));
}

struct Server final : ssh::ServerHandler {
  void on_auth_request(const ssh::AuthRequest&, ssh::AuthResponder responder) override { responder.accept(); }
  void on_authenticated(const ssh::PeerIdentity&) override { authenticated.put(true); }
  void on_channel_open(const ssh::ChannelOpen&, ssh::ChannelOpenResponder responder) override {
    if (!target) return responder.reject(ssh::OpenFailure::kConnectFailed, "no target");
    responder.accept(target);
  }
  void on_closed(const Error& error) override { closed.put(error); }

  std::shared_ptr<ssh::ChannelHandler> target;
  Box<bool> authenticated;
  Box<Error> closed;
};

struct Client final : ssh::ClientHandler {
  Status on_host_key(const ssh::PublicKey&, const ssh::Certificate*) override { return {}; }
  void on_authenticated() override { authenticated.put(true); }
  void on_closed(const Error& error) override { closed.put(error); }
  Box<bool> authenticated;
  Box<Error> closed;
};

// A client and a server over a real socket, on one shard, with one channel: left_ ↔ client … server ↔ right_.
class SshLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server_config = std::make_shared<ssh::ServerConfig>();
    server_config->transport.host_keys.push_back({new_key(), {}});
    server_config->transport.rekey.bytes = rekey_bytes_;
    ssh::ClientConfig client_config;
    client_config.user = "alice";
    client_config.identities.push_back({.signer = new_key()});
    shard_.call([&] {
      ASSERT_TRUE(prepare_socket(wire_.right.get()));
      client_socket_ = UniqueFd(::dup(wire_.right.get()));
      auto server = std::make_unique<ssh::ServerEndpoint>(server_config, server_, shard_->clock());
      auto client = std::make_unique<ssh::ClientEndpoint>(std::move(client_config), client_, shard_->clock());
      client_endpoint_ = client.get();
      server_endpoint_ = server.get();
      server_link_ = std::make_unique<SshLink>(*shard_, std::move(wire_.left), std::move(server), Bytes{},
                                               [this](Status status) { server_ended_.put(status); });
      client_link_ = std::make_unique<SshLink>(*shard_, std::move(wire_.right), std::move(client), Bytes{},
                                               [this](Status status) { client_ended_.put(status); });
    });
    ASSERT_TRUE(client_.authenticated.take()) << "authentication";
  }
  void open_channel(ChannelRelayOptions options = {}) {
    shard_.call([&] {
      auto done = [](Box<RelayEnd>& box) { return [&box](RelayEnd end) { box.put(std::move(end)); }; };
      server_.target = server_relay_ =
          ChannelRelay::make(*shard_, std::move(right_.left), std::move(options), done(server_relay_ended_));
      client_relay_ = ChannelRelay::make(*shard_, std::move(left_.left), {}, done(client_relay_ended_));
      client_endpoint_->open_channel(ssh::DirectTcpipOpen{"web-01", 22, "127.0.0.1", 1}, client_relay_);
    });
  }
  void carry_bulk_both_ways();  // 30 MiB each
  void TearDown() override {
    shard_.call([&] {
      client_link_.reset();
      server_link_.reset();
      client_relay_.reset();
      server_relay_.reset();
      server_.target.reset();
    });
  }

  std::uint64_t rekey_bytes_ = ssh::RekeyLimits().bytes;
  RunningShard shard_;
  TcpPair wire_;
  UniqueFd client_socket_;
  TcpPair left_;
  TcpPair right_;
  Server server_;
  Client client_;
  ssh::ClientEndpoint* client_endpoint_ = nullptr;
  ssh::ServerEndpoint* server_endpoint_ = nullptr;
  std::unique_ptr<SshLink> server_link_;
  std::unique_ptr<SshLink> client_link_;
  std::shared_ptr<ChannelRelay> client_relay_;
  std::shared_ptr<ChannelRelay> server_relay_;
  Box<Status> server_ended_;
  Box<Status> client_ended_;
  Box<RelayEnd> client_relay_ended_;
  Box<RelayEnd> server_relay_ended_;
};

void SshLinkTest::carry_bulk_both_ways() {
  open_channel({.first_to_channel = to_bytes("first ")});
  Bytes there = testing::pattern_bytes(30 << 20, 3);
  Bytes back = testing::pattern_bytes(30 << 20, 4);
  std::thread sender([&] {
    testing::send_all(left_.right.get(), there);
    ::shutdown(left_.right.get(), SHUT_WR);
  });
  std::thread other_sender([&] {
    testing::send_all(right_.right.get(), back);
    ::shutdown(right_.right.get(), SHUT_WR);
  });
  std::string got_back;
  std::thread reader([&] { got_back = testing::receive(left_.right.get()); });
  std::string got_there = testing::receive(right_.right.get());
  sender.join();
  other_sender.join();
  reader.join();
  EXPECT_TRUE(std::ranges::equal(as_bytes(got_there), there));
  ASSERT_EQ(got_back.size(), back.size() + 6);
  EXPECT_TRUE(std::ranges::equal(as_bytes(got_back).subspan(6), back));
  auto end = client_relay_ended_.take();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->status);
  EXPECT_EQ(end->b_to_a_bytes, there.size());
  EXPECT_TRUE(server_relay_ended_.take());
}

TEST_F(SshLinkTest, CarriesBulkBothWaysThroughAChannel) { carry_bulk_both_ways(); }

// Channels fill the output while a key exchange runs; the messages that end it have to be read all the same.
class RekeyingSshLinkTest : public SshLinkTest {
 protected:
  RekeyingSshLinkTest() { rekey_bytes_ = 2 << 20; }
};

TEST_F(RekeyingSshLinkTest, KeyExchangesEndUnderBulkBothWays) {
  carry_bulk_both_ways();
  shard_.call([&] { EXPECT_GT(server_endpoint_->transport()->counters().key_exchanges, 10u); });
}

TEST_F(SshLinkTest, AHalfThatEndsLeavesTheOtherOpen) {
  open_channel();
  testing::send_all(left_.right.get(), "question");
  ::shutdown(left_.right.get(), SHUT_WR);
  EXPECT_EQ(testing::receive(right_.right.get()), "question");
  testing::send_all(right_.right.get(), "answer");
  right_.right.reset();
  EXPECT_EQ(testing::receive(left_.right.get()), "answer");
  EXPECT_TRUE(client_relay_ended_.take()->status);
}

TEST_F(SshLinkTest, AReaderThatStopsHoldsTheOtherEndBack) {
  open_channel();
  timeval patience{0, 500'000};
  ::setsockopt(left_.right.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::size_t sent = 0;
  Bytes chunk(1 << 20);
  for (ssize_t n = 0; (n = ::send(left_.right.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL)) > 0;) {
    sent += static_cast<std::size_t>(n);
    ASSERT_LT(sent, 64u << 20);
  }
  EXPECT_EQ(testing::receive(right_.right.get(), sent).size(), sent);
}

TEST_F(SshLinkTest, ASocketThatBreaksClosesTheChannelOnly) {
  open_channel();
  testing::send_all(left_.right.get(), "x");
  EXPECT_EQ(testing::receive(right_.right.get(), 1), "x");
  testing::reset_on_close(right_.right.get());
  right_.right.reset();
  auto end = server_relay_ended_.take();
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->status);
  EXPECT_EQ(testing::receive(left_.right.get()), "");
  EXPECT_TRUE(client_relay_ended_.take());
  EXPECT_FALSE(client_ended_.full());
}

TEST_F(SshLinkTest, ARefusedChannelEndsItsRelay) {
  shard_.call([&] {
    client_relay_ = ChannelRelay::make(*shard_, std::move(left_.left), {},
                                       [this](RelayEnd end) { client_relay_ended_.put(std::move(end)); });
    client_endpoint_->open_channel(ssh::DirectTcpipOpen{"web-01", 22, "127.0.0.1", 1}, client_relay_);
  });
  auto end = client_relay_ended_.take();
  ASSERT_TRUE(end && !end->status);
  EXPECT_NE(end->status.error().message.find("no target"), std::string::npos);
}

TEST_F(SshLinkTest, TheTransportsEndEndsTheRelays) {
  open_channel();
  testing::send_all(left_.right.get(), "x");
  EXPECT_EQ(testing::receive(right_.right.get(), 1), "x");
  shard_.call([&] { client_link_->abort({ErrorCode::kUnavailable, "cut"}); });
  auto ended = client_ended_.take();
  ASSERT_TRUE(ended && !*ended);
  shard_.call([&] { client_link_.reset(); });
  EXPECT_TRUE(server_ended_.take());
  EXPECT_TRUE(server_relay_ended_.take());
  EXPECT_EQ(testing::receive(right_.right.get()), "");
}

TEST_F(SshLinkTest, ADisconnectIsReadByTheOtherEnd) {
  shard_.call([&] { server_endpoint_->disconnect("locked (event 1234)"); });
  EXPECT_TRUE(server_ended_.take());
  auto why = client_.closed.take();
  ASSERT_TRUE(why);
  EXPECT_NE(why->message.find("locked (event 1234)"), std::string::npos) << why->message;
  EXPECT_TRUE(client_ended_.take());
}

// OpenSSH's client logs in with Nagle's algorithm on: with an acknowledgement that is delayed, each second small packet
// of a login waits for 40 ms.
TEST_F(SshLinkTest, WhatALoginSendsIsAcknowledgedAtOnce) {
  const auto sent = [&] {
    std::uint64_t bytes = 0;
    shard_.call([&] { bytes = client_link_->bytes_out(); });
    return bytes;
  };
  const auto unacknowledged = [fd = client_socket_.get()] {
    tcp_info info{};
    socklen_t size = sizeof info;
    EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_unacked;
  };
  auto fastest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 10; ++i) {
    Box<bool> answered;  // after an answer the kernel delays
    shard_.call([&] {
      client_endpoint_->global_request("wants-an-answer@example.com", {}, [&](auto) { answered.put(true); });
    });
    ASSERT_TRUE(answered.take());
    const std::uint64_t before = sent();
    shard_.call([&] { client_endpoint_->global_request("wants-none@example.com", {}, {}); });
    while (sent() == before) std::this_thread::yield();
    const auto start = std::chrono::steady_clock::now();
    // The kernel wakes nobody for an acknowledgement; asking it again and again is what measures.
    while (unacknowledged() > 0 && std::chrono::steady_clock::now() < start + 5s) std::this_thread::yield();
    fastest = std::min(fastest, std::chrono::steady_clock::now() - start);
  }
  EXPECT_LT(fastest, 20ms);
}

}  // namespace
}  // namespace mezite::net
