// The connection protocol against a peer that the test plays, message by message.
#include <gtest/gtest.h>

#include <algorithm>

#include "ssh/connection/states.hh"
#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using Connection = ConnectionTest;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

bool is_protocol_error(const Status& status) { return !status && status.error().code == ErrorCode::kProtocol; }

Bytes part(const auto& value) { return encode(value); }

// ---- windows and data

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

TEST_F(Connection, WriteSpaceLandsInThePacket) {
  open_session(1 << 20, 1000);
  auto space = handler->channel.write_space(5000);
  ASSERT_EQ(space.size(), 1000u);
  space[0] = 'h';
  space[1] = 'i';
  handler->channel.commit_write(2);
  space = handler->channel.write_space(10, DataKind::kStderr);
  ASSERT_EQ(space.size(), 10u);
  space[0] = '!';
  handler->channel.commit_write(1);
  handler->channel.write_space(10);
  handler->channel.commit_write(0);
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

TEST_F(Connection, PacketLeftOpenIsGivenUpByTheNextCall) {
  open_session();
  auto space = handler->channel.write_space(10);
  ASSERT_EQ(space.size(), 10u);
  EXPECT_EQ(handler->channel.write(as_bytes("other")), 5u);
  handler->channel.commit_write(10);  // of a packet that is gone
  EXPECT_EQ(handler->channel.write_space(10).size(), 10u);
  handler->channel.close();
  handler->channel.commit_write(10);
  EXPECT_EQ(transport.take(), (std::vector<int>{94, 97}));
  EXPECT_EQ(transport.open_packets, 0);
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
      say(wire::ChannelOpen{"forwarded-tcpip", 1, 1 << 20, 32768, Rest{part(wire::ForwardedTcpip{"a", 1, "b", 2})}}));
  make(Role::kClient);
  ASSERT_TRUE(say(wire::ChannelOpen{"session", 1, 1 << 20, 32768, {}}));
  ASSERT_TRUE(say(wire::ChannelOpen{"direct-tcpip", 1, 1 << 20, 32768, Rest{part(wire::DirectTcpip{"a", 1, "b", 2})}}));
  EXPECT_TRUE(opens.empty());
  EXPECT_EQ(transport.take(), (std::vector<int>{92, 92, 92}));
}

TEST_F(Connection, AbsurdOpens) {
  const auto direct = [&](std::string host, std::uint32_t port) {
    const Bytes parameters = part(wire::DirectTcpip{std::move(host), port, "o", 1});
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

// ---- requests

TEST_F(Connection, RequestsOfEachKind) {
  open_session();
  const Bytes modes{53, 0, 0, 0, 1, 128, 0, 0, 0x96, 0, 0};
  ASSERT_TRUE(say_request("pty-req", part(wire::PtyRequest{"xterm", 80, 24, 640, 480, modes})));
  ASSERT_TRUE(say_request("env", part(wire::EnvRequest{"LANG", "C.UTF-8"})));
  ASSERT_TRUE(say_request("shell", {}));
  ASSERT_TRUE(say_request("exec", part(wire::ExecRequest{"id"})));
  ASSERT_TRUE(say_request("subsystem", part(wire::SubsystemRequest{"sftp"})));
  ASSERT_TRUE(say_request("window-change", part(wire::WindowChangeRequest{0xffffffff, 50, 0, 0}), false));
  ASSERT_TRUE(say_request("signal", part(wire::SignalRequest{"TERM"}), false));
  ASSERT_TRUE(say_request("break", Bytes{0, 0, 1, 0}));
  ASSERT_TRUE(say_request("auth-agent-req@openssh.com", {}));
  ASSERT_TRUE(say_request("x11-req", part(wire::X11Request{true, "MIT-MAGIC-COOKIE-1", "00ff", 1})));
  ASSERT_TRUE(say_request("nonsense@example.com", Bytes{1, 2}));
  ASSERT_TRUE(say_request("xon-xoff", Bytes{1}, false));
  const std::vector<ChannelRequest> expected{
      PtyRequest{"xterm", {80, 24, 640, 480}, {{53, 1}, {128, 0x9600}}},
      EnvRequest{"LANG", "C.UTF-8"},
      ShellRequest{},
      ExecRequest{"id"},
      SubsystemRequest{"sftp"},
      WindowChangeRequest{{65535, 50, 0, 0}},
      SignalRequest{"TERM"},
      BreakRequest{256},
      AgentForwardRequest{},
      X11Request{true, "MIT-MAGIC-COOKIE-1", "00ff", 1},
      OtherRequest{"nonsense@example.com", {1, 2}},
  };
  EXPECT_EQ(handler->requests, expected);
}

TEST_F(Connection, AnswersGoOutInTheOrderOfTheRequests) {
  open_session();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(say_request("shell", {}));
  handler->responders[2].accept();
  handler->responders[1].reject();
  EXPECT_TRUE(transport.sent.empty());
  handler->responders[0].accept();
  EXPECT_EQ(transport.take(), (std::vector<int>{99, 100, 99}));
}

TEST_F(Connection, DroppedResponderRefusesAndOneWithoutReplyIsSilent) {
  open_session();
  ASSERT_TRUE(say_request("shell", {}, false));
  ASSERT_TRUE(say_request("shell", {}, true));
  EXPECT_FALSE(handler->responders[0].wants_reply());
  handler->responders.clear();
  EXPECT_EQ(transport.take(), std::vector<int>{100});
}

TEST_F(Connection, RespondersOutliveTheChannelAndTheConnection) {
  open_session();
  ASSERT_TRUE(say_request("shell", {}));
  ASSERT_TRUE(say_request("shell", {}));
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  transport.take();
  handler->responders[0].accept();
  EXPECT_TRUE(transport.sent.empty());
  connection.reset();
  handler->responders[1].accept();
  handler->channel.write(Bytes(1));
  handler->channel.close();
}

TEST_F(Connection, UnansweredRequestsAreBounded) {
  open_session();
  Status status;
  int count = 0;
  while (status && count < 1000) {
    status = say_request("shell", {});
    ++count;
  }
  EXPECT_EQ(count, 129);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
}

TEST_F(Connection, AbsurdRequestsAreRefusedAndNotSurfaced) {
  open_session();
  const std::string nul("a\0b", 3);
  std::vector<std::pair<std::string, Bytes>> absurd = {
      {"exec", part(wire::ExecRequest{nul})},
      {"exec", part(wire::ExecRequest{std::string(200'000, 'x')})},
      {"env", part(wire::EnvRequest{nul, "v"})},
      {"env", part(wire::EnvRequest{"A=B", "v"})},
      {"env", part(wire::EnvRequest{"", "v"})},
      {"env", part(wire::EnvRequest{"A", nul})},
      {"env", part(wire::EnvRequest{"A", std::string(40'000, 'x')})},
      {"signal", part(wire::SignalRequest{"TERM; reboot"})},
      {"signal", part(wire::SignalRequest{std::string(100, 'A')})},
      {"signal", part(wire::SignalRequest{""})},
      {"subsystem", part(wire::SubsystemRequest{"sf\ntp"})},
      {"subsystem", part(wire::SubsystemRequest{std::string(5000, 's')})},
      {"pty-req", part(wire::PtyRequest{"x\x1b[c", 80, 24, 0, 0, {}})},
      {"pty-req", part(wire::PtyRequest{std::string(10'000, 't'), 80, 24, 0, 0, {}})},
      {"pty-req", part(wire::PtyRequest{"xterm", 80, 24, 0, 0, {53, 0, 0}})},
      {"pty-req", part(wire::PtyRequest{"xterm", 80, 24, 0, 0, Bytes(60'000, 1)})},
      {"x11-req", part(wire::X11Request{true, "MIT COOKIE", "x", 0})},
      {std::string(3000, 'r'), {}},
      {"", {}},
      {"big@example.com", Bytes(100'000)},
  };
  for (const auto& [name, payload] : absurd) {
    ASSERT_TRUE(say_request(name, payload)) << name;
    EXPECT_EQ(transport.take(), std::vector<int>{100}) << name;
  }
  EXPECT_TRUE(handler->requests.empty());
}

TEST_F(Connection, TerminalModesStopAtTheirEnd) {
  open_session();
  // TTY_OP_END, then an opcode that RFC 4254 §8 leaves undefined.
  ASSERT_TRUE(say_request("pty-req", part(wire::PtyRequest{"xterm", 1, 1, 0, 0, {1, 0, 0, 0, 3, 0, 9, 9}})));
  ASSERT_TRUE(say_request("pty-req", part(wire::PtyRequest{"xterm", 1, 1, 0, 0, {1, 0, 0, 0, 3, 200, 1}})));
  ASSERT_EQ(handler->requests.size(), 2u);
  for (const auto& request : handler->requests) {
    EXPECT_EQ(std::get<PtyRequest>(request).modes, (std::vector<TerminalMode>{{1, 3}}));
  }
}

TEST_F(Connection, EnvironmentIsBounded) {
  open_session();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(say_request("env", part(wire::EnvRequest{"A", "b"}), false));
  EXPECT_EQ(handler->requests.size(), 256u);
}

TEST_F(Connection, RequestsWithTrailingBytesEndTheConnection) {
  open_session();
  EXPECT_TRUE(is_protocol_error(say_request("shell", Bytes{0})));
}

TEST_F(Connection, RepliesToOurRequests) {
  make(Role::kClient);
  connection->open_channel(SessionOpen{}, handler);
  ASSERT_TRUE(say(wire::ChannelOpenConfirmation{0, 3, 100, 32768, {}}));
  std::string replies;
  handler->channel.request(EnvRequest{"A", "b"});
  handler->channel.request(ExecRequest{"id"}, [&](bool granted) { replies += granted ? 'y' : 'n'; });
  handler->channel.request(SubsystemRequest{"sftp"}, [&](bool granted) { replies += granted ? 'Y' : 'N'; });
  handler->channel.request(ShellRequest{}, [&](bool granted) { replies += granted ? '1' : '0'; });
  ASSERT_TRUE(say(wire::ChannelSuccess{0}));
  ASSERT_TRUE(say(wire::ChannelFailure{0}));
  EXPECT_EQ(replies, "yN");
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  EXPECT_EQ(replies, "yN0");
  handler->channel.request(ShellRequest{}, [&](bool granted) { replies += granted ? '1' : 'x'; });
  EXPECT_EQ(replies, "yN0x");
}

// A reply that nothing asked for was queued and taken for the answer of a later request.
TEST_F(Connection, XCryptoCve2026_39830_UnsolicitedReplies) {
  for (int number : {99, 100}) {
    make(Role::kServer);
    open_session();
    Bytes payload{static_cast<std::uint8_t>(number)};
    Writer(payload).u32(0);
    EXPECT_TRUE(is_protocol_error(connection->on_packet(payload)));
  }
  for (std::uint8_t number : Bytes{81, 82}) {
    make(Role::kServer);
    EXPECT_TRUE(is_protocol_error(connection->on_packet(Bytes{number})));
  }
}

TEST_F(Connection, ExitStatusAndSignal) {
  open_session();
  handler->channel.send_exit_status(3);
  handler->channel.send_exit_signal({"KILL", true, "killed"});
  const auto status = decode<wire::ChannelRequest>(transport.sent.at(0));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->type, "exit-status");
  EXPECT_FALSE(status->want_reply);
  EXPECT_EQ(decode<wire::ExitStatusRequest>(status->parameters.bytes)->status, 3u);
  const auto signal = decode<wire::ChannelRequest>(transport.sent.at(1));
  EXPECT_EQ(decode<wire::ExitSignalRequest>(signal->parameters.bytes)->signal, "KILL");
}

// ---- global requests and keepalive

TEST_F(Connection, GlobalRequestsAnsweredInOrder) {
  ASSERT_TRUE(say(wire::GlobalRequest{"tcpip-forward", true, Rest{part(wire::TcpipForward{"localhost", 0})}}));
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
