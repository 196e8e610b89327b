// Windows and data against a peer that the test plays, message by message.
#include <gtest/gtest.h>

#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using Connection = ConnectionTest;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

TEST_F(Connection, DataBeyondTheWindow) {
  handler->consume = false;
  make(Role::kServer, {.window_bytes = 65536, .max_packet_bytes = 32768});
  open_session();
  const Bytes block(32768);
  ASSERT_TRUE(say(wire::ChannelData{0, block}));
  ASSERT_TRUE(say(wire::ChannelData{0, block}));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelData{0, Bytes(1)})));
  EXPECT_EQ(handler->received, 65536u);
}

TEST_F(Connection, DataOverTheMaximumPacket) {
  open_session();
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelData{0, Bytes(32769)})));
}

TEST_F(Connection, WindowIsGivenBackInLots) {
  open_session();
  const Bytes block(32768);
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(say(wire::ChannelData{0, block}));
  // 2 MiB came; each lot is an eighth of the window.
  EXPECT_EQ(transport.sent.size(), 8u);
  std::uint64_t granted = 0;
  for (const Bytes& packet : transport.sent) granted += decode<wire::ChannelWindowAdjust>(packet)->bytes_to_add;
  EXPECT_EQ(granted, 2u << 20);
}

TEST_F(Connection, ConsumingMoreThanCameGrantsNothing) {
  open_session();
  handler->consume = false;
  ASSERT_TRUE(say(wire::ChannelData{0, Bytes(10)}));
  handler->channel.consumed(SIZE_MAX);
  handler->channel.consumed(100 << 20);
  EXPECT_TRUE(transport.sent.empty());
}

TEST_F(Connection, WindowOverflow) {
  open_session(0xfffffff0u);
  ASSERT_TRUE(say(wire::ChannelWindowAdjust{0, 15}));
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelWindowAdjust{0, 1})));
}

TEST_F(Connection, MaximumPacketOfNothingIsRefused) {
  for (std::uint32_t size : {0u, 1u, 255u}) {
    ASSERT_TRUE(say(wire::ChannelOpen{"session", 7, 1 << 20, size, {}}));
    EXPECT_EQ(transport.take(), std::vector<int>{92});
  }
  EXPECT_TRUE(opens.empty());
  EXPECT_EQ(connection->channel_count(), 0u);
  make(Role::kClient);
  connection->open_channel(SessionOpen{}, handler);
  EXPECT_TRUE(is_protocol_error(say(wire::ChannelOpenConfirmation{0, 3, 1 << 20, 0, {}})));
}

TEST_F(Connection, MaximumPacketOfFourGigabytesIsNotTaken) {
  open_session(0xffffffffu, 0xffffffffu);
  const Bytes data(1 << 20);
  EXPECT_EQ(handler->channel.write(data), data.size());
  for (const Bytes& packet : transport.sent) EXPECT_LE(packet.size(), 65536u + 9);
}

TEST_F(Connection, WriteStaysInTheWindowAndGoesOnWhenItOpens) {
  open_session(100, 32768);
  const Bytes data(250, 'x');
  std::size_t done = handler->channel.write(data);
  EXPECT_EQ(done, 100u);
  EXPECT_EQ(handler->channel.writable(), 0u);
  handler->when_writable = [&] { done += handler->channel.write(BytesView(data).subspan(done)); };
  ASSERT_TRUE(say(wire::ChannelWindowAdjust{0, 100}));
  EXPECT_EQ(done, 200u);
  ASSERT_TRUE(say(wire::ChannelWindowAdjust{0, 100}));
  EXPECT_EQ(done, 250u);
  EXPECT_EQ(handler->writables, 2);
  ASSERT_TRUE(say(wire::ChannelWindowAdjust{0, 100}));
  EXPECT_EQ(handler->writables, 2);  // nothing waits
  EXPECT_EQ(handler->channel.bytes_sent(), 250u);
}

TEST_F(Connection, PacketsKeepToThePeersMaximum) {
  open_session(1 << 20, 1000);
  EXPECT_EQ(handler->channel.write(Bytes(2500)), 2500u);
  ASSERT_EQ(transport.sent.size(), 3u);
  EXPECT_EQ(decode<wire::ChannelData>(transport.sent[0])->data.size(), 1000u);
  EXPECT_EQ(decode<wire::ChannelData>(transport.sent[2])->data.size(), 500u);
}

TEST_F(Connection, StderrIsExtendedData) {
  open_session(1 << 20, 1000);
  EXPECT_EQ(handler->channel.write(as_bytes("hi")), 2u);
  EXPECT_EQ(handler->channel.write(as_bytes("!"), DataKind::kStderr), 1u);
  ASSERT_EQ(transport.sent.size(), 2u);
  const auto data = decode<wire::ChannelData>(transport.sent[0]);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->recipient, 7u);
  EXPECT_EQ(as_text(data->data), "hi");
  const auto extended = decode<wire::ChannelExtendedData>(transport.sent[1]);
  ASSERT_TRUE(extended);
  EXPECT_EQ(extended->data_type, 1u);
  EXPECT_EQ(as_text(extended->data), "!");
  EXPECT_EQ(handler->channel.bytes_sent(), 3u);
}

TEST_F(Connection, OutputHighWaterStopsAndReleasesInTurn) {
  transport.count_output = true;
  auto second = std::make_shared<Handler>();
  open_session(0xffffffffu);
  const auto first = std::exchange(handler, second);
  ASSERT_TRUE(say(wire::ChannelOpen{"session", 8, 0xffffffffu, 32768, {}}));
  const Bytes data(4 << 20);
  EXPECT_LT(first->channel.write(data), 1200u << 10);
  EXPECT_EQ(second->channel.write(data), 0u);
  connection->on_output_room();
  EXPECT_EQ(first->writables, 0);  // still full
  transport.output = 0;
  std::vector<int> order;
  first->when_writable = [&] {
    order.push_back(1);
    first->channel.write(data);
  };
  second->when_writable = [&] {
    order.push_back(2);
    second->channel.write(data);
  };
  for (int i = 0; i < 4; ++i) {
    connection->on_output_room();
    transport.output = 0;
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 1, 2}));  // neither starves
}

// Counters of 32 bits wrapped, and the transfer hung or lost its count.
TEST_F(Connection, XCryptoCve2026_39834_MoreThanFourGiBThroughOneChannel) {
  transport.keep = false;
  open_session_without_record();
  const Bytes block(32768);
  const Bytes message = encode(wire::ChannelData{0, block});
  while (handler->received < 5 * kGiB) ASSERT_TRUE(connection->on_packet(message));
  EXPECT_EQ(handler->channel.bytes_received(), 5 * kGiB);
  std::uint64_t sent = 0;
  while (sent < 5 * kGiB) {
    const std::size_t done = handler->channel.write(block);
    sent += done;
    if (done < block.size()) {
      ASSERT_TRUE(say(wire::ChannelWindowAdjust{0, 1u << 30}));
    }
  }
  EXPECT_EQ(handler->channel.bytes_sent(), sent);
}

TEST_F(Connection, StderrFromAClientIsDroppedAndCounted) {
  open_session();
  ASSERT_TRUE(say(wire::ChannelExtendedData{0, 1, Bytes(100)}));
  ASSERT_TRUE(say(wire::ChannelExtendedData{0, 77, Bytes(100)}));
  EXPECT_EQ(handler->received, 0u);
  EXPECT_EQ(handler->channel.bytes_received(), 200u);
}

}  // namespace
}  // namespace mezite::ssh::connection_testing
