// Requests on channels and their answers, against a peer that the test plays.
#include <gtest/gtest.h>

#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using Connection = ConnectionTest;

TEST_F(Connection, RequestsOfEachKind) {
  open_session();
  const Bytes modes{53, 0, 0, 0, 1, 128, 0, 0, 0x96, 0, 0};
  ASSERT_TRUE(say_request("pty-req", encode(wire::PtyRequest{"xterm", 80, 24, 640, 480, modes})));
  ASSERT_TRUE(say_request("env", encode(wire::EnvRequest{"LANG", "C.UTF-8"})));
  ASSERT_TRUE(say_request("shell", {}));
  ASSERT_TRUE(say_request("exec", encode(wire::ExecRequest{"id"})));
  ASSERT_TRUE(say_request("subsystem", encode(wire::SubsystemRequest{"sftp"})));
  ASSERT_TRUE(say_request("window-change", encode(wire::WindowChangeRequest{0xffffffff, 50, 0, 0}), false));
  ASSERT_TRUE(say_request("signal", encode(wire::SignalRequest{"TERM"}), false));
  ASSERT_TRUE(say_request("break", Bytes{0, 0, 1, 0}));
  ASSERT_TRUE(say_request("auth-agent-req@openssh.com", {}));
  ASSERT_TRUE(say_request("x11-req", encode(wire::X11Request{true, "MIT-MAGIC-COOKIE-1", "00ff", 1})));
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
      {"exec", encode(wire::ExecRequest{nul})},
      {"exec", encode(wire::ExecRequest{std::string(200'000, 'x')})},
      {"env", encode(wire::EnvRequest{nul, "v"})},
      {"env", encode(wire::EnvRequest{"A=B", "v"})},
      {"env", encode(wire::EnvRequest{"", "v"})},
      {"env", encode(wire::EnvRequest{"A", nul})},
      {"env", encode(wire::EnvRequest{"A", std::string(40'000, 'x')})},
      {"signal", encode(wire::SignalRequest{"TERM; reboot"})},
      {"signal", encode(wire::SignalRequest{std::string(100, 'A')})},
      {"signal", encode(wire::SignalRequest{""})},
      {"subsystem", encode(wire::SubsystemRequest{"sf\ntp"})},
      {"subsystem", encode(wire::SubsystemRequest{std::string(5000, 's')})},
      {"pty-req", encode(wire::PtyRequest{"x\x1b[c", 80, 24, 0, 0, {}})},
      {"pty-req", encode(wire::PtyRequest{std::string(10'000, 't'), 80, 24, 0, 0, {}})},
      {"pty-req", encode(wire::PtyRequest{"xterm", 80, 24, 0, 0, {53, 0, 0}})},
      {"pty-req", encode(wire::PtyRequest{"xterm", 80, 24, 0, 0, Bytes(60'000, 1)})},
      {"x11-req", encode(wire::X11Request{true, "MIT COOKIE", "x", 0})},
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
  ASSERT_TRUE(say_request("pty-req", encode(wire::PtyRequest{"xterm", 1, 1, 0, 0, {1, 0, 0, 0, 3, 0, 9, 9}})));
  ASSERT_TRUE(say_request("pty-req", encode(wire::PtyRequest{"xterm", 1, 1, 0, 0, {1, 0, 0, 0, 3, 200, 1}})));
  ASSERT_EQ(handler->requests.size(), 2u);
  for (const auto& request : handler->requests) {
    EXPECT_EQ(std::get<PtyRequest>(request).modes, (std::vector<TerminalMode>{{1, 3}}));
  }
}

TEST_F(Connection, EnvironmentIsBounded) {
  open_session();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(say_request("env", encode(wire::EnvRequest{"A", "b"}), false));
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

}  // namespace
}  // namespace mezite::ssh::connection_testing
