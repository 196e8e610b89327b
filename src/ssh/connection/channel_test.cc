// Channels from their open to their close, against a peer that the test plays.
#include <gtest/gtest.h>

#include <algorithm>

#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using Connection = ConnectionTest;

// ---- the life of a channel

TEST_F(Connection, DataAfterEof) {
  open_session();
  ASSERT_TRUE(say(wire::ChannelEof{0}));
  EXPECT_EQ(handler->eofs, 1);
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelData{0, Bytes(1)})));
}

TEST_F(Connection, SecondEof) {
  open_session();
  ASSERT_TRUE(say(wire::ChannelEof{0}));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelEof{0})));
}

TEST_F(Connection, DataAfterClose) {
  open_session();
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  EXPECT_EQ(handler->closes, 1);
  EXPECT_EQ(transport.take(), std::vector<int>{97});
  EXPECT_FALSE(handler->channel.is_open());
  EXPECT_EQ(handler->channel.write(Bytes(1)), 0u);
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelData{0, Bytes(1)})));
}

TEST_F(Connection, CloseOfOursDropsWhatStillComes) {
  open_session();
  handler->channel.close();
  handler->channel.close();
  EXPECT_EQ(transport.take(), std::vector<int>{97});
  ASSERT_TRUE(say(wire::ChannelData{0, Bytes(100)}));
  ASSERT_TRUE(say_request("shell", {}));
  ASSERT_TRUE(say(wire::ChannelEof{0}));
  EXPECT_EQ(handler->received, 0u);
  EXPECT_EQ(handler->closes, 0);
  EXPECT_TRUE(transport.sent.empty());  // nothing after CLOSE
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  EXPECT_EQ(handler->closes, 1);
  EXPECT_TRUE(transport.sent.empty());
  EXPECT_EQ(connection->channel_count(), 0u);
}

TEST_F(Connection, UnknownChannelNumbers) {
  for (std::uint32_t id : {0u, 1u, 0x7fffffffu, 0xffffffffu}) {
    for (std::uint8_t number = 91; number <= 100; ++number) {
      make(Role::kServer);
      Bytes payload{number};
      Writer(payload).u32(id).u32(1).u32(1).u32(1);
      EXPECT_TRUE(is_protocol_error(connection->on_packet(payload))) << int{number};
    }
  }
}

TEST_F(Connection, MessagesThatCutOff) {
  for (std::uint8_t number = 80; number <= 100; ++number) {
    for (std::size_t size = 1; size < 9; ++size) {
      make(Role::kServer);
      open_session();
      Bytes payload(size, 0);
      payload[0] = number;
      (void)connection->on_packet(payload);  // refused or not, nothing breaks
      transport.sent.clear();
    }
  }
}

TEST_F(Connection, MessagesForAnOpenThatIsNotAnswered) {
  hold_opens = true;
  ASSERT_TRUE(say(wire::ChannelOpen{"session", 7, 1 << 20, 32768, {}}));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelData{0, Bytes(1)})));
  held_opens[0].accept(handler);
  EXPECT_TRUE(handler->channel.is_open());
}

TEST_F(Connection, ConfirmationTwice) {
  make(Role::kClient);
  connection->open_channel(SessionOpen{}, handler);
  ASSERT_TRUE(say(wire::ChannelOpenConfirmation{0, 3, 100, 32768, {}}));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelOpenConfirmation{0, 3, 100, 32768, {}})));
}

TEST_F(Connection, CloseBeforeTheAnswer) {
  make(Role::kClient);
  Channel channel = connection->open_channel(SessionOpen{}, handler);
  EXPECT_EQ(channel.write(Bytes(10)), 0u);
  channel.close();
  EXPECT_EQ(transport.take(), std::vector<int>{90});
  ASSERT_TRUE(say(wire::ChannelOpenConfirmation{0, 3, 100, 32768, {}}));
  EXPECT_EQ(transport.take(), std::vector<int>{97});
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  EXPECT_EQ(handler->closes, 1);
}

TEST_F(Connection, RefusedOpenOfOurs) {
  make(Role::kClient);
  connection->open_channel(DirectTcpipOpen{"node", 22, "127.0.0.1", 5}, handler);
  const auto open = decode<wire::ChannelOpen>(transport.sent.at(0));
  ASSERT_TRUE(open);
  EXPECT_EQ(open->type, "direct-tcpip");
  EXPECT_EQ(decode<wire::DirectTcpip>(open->parameters.bytes)->host, "node");
  ASSERT_TRUE(
      say(wire::ChannelOpenFailure{0, ChannelOpenFailureReason::kAdministrativelyProhibited, "access denied", ""}));
  ASSERT_TRUE(handler->failure);
  EXPECT_EQ(handler->failure->second, "access denied");
  EXPECT_EQ(connection->channel_count(), 0u);
}

// ---- opens

// Each refused open left something behind.
TEST_F(Connection, XCryptoCve2026_39827_MillionRefusedOpensInFlatMemory) {
  transport.keep = false;
  accept_opens = false;
  const Bytes session = encode(wire::ChannelOpen{"session", 7, 1 << 20, 32768, {}});
  const Bytes unknown = encode(wire::ChannelOpen{"nonsense", 7, 1 << 20, 32768, {}});
  for (int i = 0; i < 500'000; ++i) {
    ASSERT_TRUE(connection->on_packet(session));
    ASSERT_TRUE(connection->on_packet(unknown));
    opens.clear();
    ASSERT_EQ(connection->channel_count(), 0u);
  }
  EXPECT_EQ(transport.count, 1'000'000u);
  accept_opens = true;
  transport.keep = true;
  ASSERT_TRUE(connection->on_packet(session));
  EXPECT_EQ(handler->channel.id(), 0u);  // the same number over and over
}

TEST_F(Connection, ChannelsAreBounded) {
  make(Role::kServer, {.max_channels = 10});
  for (std::uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(say(wire::ChannelOpen{"session", i, 1 << 20, 32768, {}}));
  EXPECT_EQ(connection->channel_count(), 10u);
  EXPECT_EQ(std::ranges::count(transport.take(), 92), 10);
  auto ours = std::make_shared<Handler>();
  EXPECT_FALSE(connection->open_channel(SessionOpen{}, ours).is_open());
  EXPECT_TRUE(ours->failure);
}

TEST_F(Connection, PendingOpensAreBounded) {
  hold_opens = true;
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(say(wire::ChannelOpen{"session", i, 1 << 20, 32768, {}}));
  EXPECT_EQ(held_opens.size(), 32u);
  EXPECT_EQ(transport.take().size(), 68u);
  held_opens.clear();  // dropped: refused
  EXPECT_EQ(transport.take().size(), 32u);
  EXPECT_EQ(connection->channel_count(), 0u);
}

TEST_F(Connection, OpensInTheWrongDirection) {
  ASSERT_TRUE(
      say(wire::ChannelOpen{"forwarded-tcpip", 1, 1 << 20, 32768, Rest{encode(wire::ForwardedTcpip{"a", 1, "b", 2})}}));
  make(Role::kClient);
  ASSERT_TRUE(say(wire::ChannelOpen{"session", 1, 1 << 20, 32768, {}}));
  ASSERT_TRUE(
      say(wire::ChannelOpen{"direct-tcpip", 1, 1 << 20, 32768, Rest{encode(wire::DirectTcpip{"a", 1, "b", 2})}}));
  EXPECT_TRUE(opens.empty());
  EXPECT_EQ(transport.take(), (std::vector<int>{92, 92, 92}));
}

TEST_F(Connection, AbsurdOpens) {
  const auto direct = [&](std::string host, std::uint32_t port) {
    const Bytes parameters = encode(wire::DirectTcpip{std::move(host), port, "o", 1});
    return say(wire::ChannelOpen{"direct-tcpip", 1, 1 << 20, 32768, Rest{parameters}});
  };
  ASSERT_TRUE(direct("", 22));
  ASSERT_TRUE(direct(std::string("a\0b", 3), 22));
  ASSERT_TRUE(direct(std::string(5000, 'a'), 22));
  ASSERT_TRUE(direct("a", 65536));
  ASSERT_TRUE(direct("a\x1b[2J", 22));
  ASSERT_TRUE(say(wire::ChannelOpen{std::string(1000, 't'), 1, 1 << 20, 32768, {}}));
  ASSERT_TRUE(say(wire::ChannelOpen{"", 1, 1 << 20, 32768, {}}));
  EXPECT_TRUE(opens.empty());
  EXPECT_EQ(transport.take(), std::vector<int>(7, 92));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelOpen{"direct-tcpip", 1, 1 << 20, 32768, {}})));
}

TEST_F(Connection, NoMoreSessions) {
  ASSERT_TRUE(say(wire::GlobalRequest{"no-more-sessions@openssh.com", false, {}}));
  ASSERT_TRUE(say(wire::ChannelOpen{"session", 7, 1 << 20, 32768, {}}));
  EXPECT_EQ(transport.take(), std::vector<int>{92});
  EXPECT_TRUE(opens.empty());
}

}  // namespace
}  // namespace mezite::ssh::connection_testing
