// Global requests, keepalive and the end of a connection; the table of what a channel takes when.
#include <gtest/gtest.h>

#include "ssh/connection/states.hh"
#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using Connection = ConnectionTest;

// ---- global requests and keepalive

TEST_F(Connection, GlobalRequestsAnsweredInOrder) {
  ASSERT_TRUE(say(wire::GlobalRequest{"tcpip-forward", true, Rest{encode(wire::TcpipForward{"localhost", 0})}}));
  ASSERT_TRUE(say(wire::GlobalRequest{"keepalive@openssh.com", true, {}}));
  ASSERT_TRUE(say(wire::GlobalRequest{"nonsense", true, {}}));
  ASSERT_EQ(globals.size(), 2u);
  EXPECT_EQ(std::get<TcpipForwardRequest>(globals[0]), (TcpipForwardRequest{"localhost", 0}));
  EXPECT_TRUE(transport.sent.empty());
  global_responders[0].accept_port(4711);
  ASSERT_EQ(transport.sent.size(), 2u);
  EXPECT_EQ(decode<wire::TcpipForwardReply>(decode<wire::RequestSuccess>(transport.sent[0])->parameters.bytes)->port,
            4711u);
  EXPECT_EQ(transport.sent[1][0], 82);
  global_responders.clear();
  EXPECT_EQ(transport.sent.size(), 3u);
}

TEST_F(Connection, KeepaliveOfThePeerIsAnswered) {
  ASSERT_TRUE(say(wire::GlobalRequest{"keepalive@openssh.com", true, {}}));
  EXPECT_EQ(transport.take(), std::vector<int>{82});
  ASSERT_TRUE(say(wire::GlobalRequest{"keepalive@openssh.com", false, {}}));
  EXPECT_TRUE(transport.sent.empty());
}

TEST_F(Connection, KeepaliveOfOursEndsAConnectionThatIsDead) {
  using std::chrono::seconds;
  make(Role::kServer, {}, {.interval = seconds(10), .max_unanswered = 2});
  const auto tick = [&] {
    clock.advance(seconds(10));
    return connection->on_time();
  };
  ASSERT_TRUE(tick());
  EXPECT_EQ(transport.take(), std::vector<int>{80});
  ASSERT_TRUE(connection->on_packet(Bytes{82}));
  ASSERT_TRUE(tick());  // heard of it
  EXPECT_TRUE(transport.take().empty());
  ASSERT_TRUE(tick());
  ASSERT_TRUE(tick());
  EXPECT_EQ(transport.take(), (std::vector<int>{80, 80}));
  const auto status = tick();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
}

TEST_F(Connection, TheEndTellsEverybodyOnce) {
  open_session();
  auto opening = std::make_shared<Handler>();
  connection->open_channel(OtherOpen{"control@mezite.com", {}}, opening);
  bool asked = false, replied = false;
  handler->channel.request(ShellRequest{}, [&](bool granted) { asked = !granted; });
  connection->global_request("x", {}, [&](std::optional<BytesView> reply) { replied = !reply; });
  connection->end();
  connection->end();
  EXPECT_EQ(handler->closes, 1);
  EXPECT_TRUE(opening->failure);
  EXPECT_TRUE(asked);
  EXPECT_TRUE(replied);
  EXPECT_FALSE(say(wire::ChannelEof{0}));
}

TEST_F(Connection, DetachFromInsideACallback) {
  open_session();
  handler->when_data = [&] { connection->detach(); };
  ASSERT_TRUE(say(wire::ChannelData{0, Bytes(10)}));
  EXPECT_EQ(handler->closes, 0);
  EXPECT_FALSE(say(wire::ChannelData{0, Bytes(10)}));
}

// ---- the table

TEST(ChannelStates, EveryPairThatIsNotListedIsIllegal) {
  std::size_t legal = 0;
  for (std::size_t state = 0; state < kChannelStateCount; ++state) {
    for (int message = 0; message < 256; ++message) {
      if (channel_transition(static_cast<ChannelState>(state), static_cast<MessageNumber>(message))) ++legal;
    }
  }
  EXPECT_EQ(legal, kChannelRules.size());
  EXPECT_FALSE(channel_transition(ChannelState::kEofReceived, MessageNumber::kChannelData));
  EXPECT_NE(channel_rules_text().find("open: SSH_MSG_CHANNEL_EOF -> eof received"), std::string::npos);
}

}  // namespace
}  // namespace mezite::ssh::connection_testing
