// Forwarding as the connection protocol sees it: who may open and ask for what, and what goes over the wire.
#include <gtest/gtest.h>

#include "ssh/connection/request_codec.hh"
#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

class Forwarding : public ConnectionTest {
 protected:
  template <class Part>
  static Bytes part(const Part& value) {
    return encode(value);
  }
  Status say_global(std::string_view name, BytesView payload, bool want_reply = true) {
    return say(wire::GlobalRequest{std::string(name), want_reply, Rest{payload}});
  }
  // The answer to an open that was refused; the number of the packet otherwise.
  std::optional<ChannelOpenFailureReason> refusal() {
    EXPECT_EQ(transport.sent.size(), 1u);
    const auto failure = decode<wire::ChannelOpenFailure>(transport.sent.at(0));
    transport.sent.clear();
    if (!failure) return std::nullopt;
    return failure->reason;
  }
};

const std::vector<ChannelOpen>& client_opens() {
  static const std::vector<ChannelOpen> opens{SessionOpen{}, DirectTcpipOpen{"db", 5432, "127.0.0.1", 4000},
                                              DirectStreamlocalOpen{"/run/docker.sock"}};
  return opens;
}
const std::vector<ChannelOpen>& server_opens() {
  static const std::vector<ChannelOpen> opens{ForwardedTcpipOpen{"127.0.0.1", 8080, "192.0.2.1", 4000},
                                              ForwardedStreamlocalOpen{"/tmp/agent.sock"}, AgentOpen{},
                                              X11Open{"127.0.0.1", 6010}};
  return opens;
}

TEST_F(Forwarding, EveryOpenGoesOverTheWireAndComesBack) {
  for (const auto* all : {&client_opens(), &server_opens()}) {
    for (const ChannelOpen& open : *all) {
      const auto back = parse_channel_open(channel_type(open), encode_payload(open));
      ASSERT_TRUE(back) << channel_type(open);
      EXPECT_EQ(*back, open);
      EXPECT_FALSE(std::holds_alternative<OtherOpen>(*back));
    }
  }
}

// RFC 4254 §6.1, §7.2: an attacker's client must not get the server to believe that it is the client, nor the reverse.
TEST_F(Forwarding, OpensInTheWrongDirectionAreRefusedWithoutAsking) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    make(role);
    for (const ChannelOpen& open : role == Role::kServer ? server_opens() : client_opens()) {
      const Bytes payload = encode_payload(open);
      ASSERT_TRUE(say(wire::ChannelOpen{std::string(channel_type(open)), 7, 1 << 20, 32768, Rest{payload}}));
      EXPECT_EQ(refusal(), ChannelOpenFailureReason::kAdministrativelyProhibited) << channel_type(open);
    }
    EXPECT_TRUE(opens.empty());
  }
}

TEST_F(Forwarding, OpensInTheRightDirectionReachTheirOwner) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    make(role);
    opens.clear();
    const auto& expected = role == Role::kServer ? client_opens() : server_opens();
    for (const ChannelOpen& open : expected) {
      const Bytes payload = encode_payload(open);
      ASSERT_TRUE(say(wire::ChannelOpen{std::string(channel_type(open)), 7, 1 << 20, 32768, Rest{payload}}));
    }
    EXPECT_EQ(opens, expected);
    EXPECT_EQ(transport.take(), std::vector<int>(expected.size(), 91));
  }
}

TEST_F(Forwarding, ServersOpenWhatIsTheirs) {
  for (const ChannelOpen& open : server_opens()) {
    connection->open_channel(open, handler);
    const auto message = decode<wire::ChannelOpen>(transport.sent.at(0));
    ASSERT_TRUE(message);
    EXPECT_EQ(*parse_channel_open(message->type, message->parameters.bytes), open);
    transport.sent.clear();
  }
}

// Found by fuzzing: the handler was told that a channel had closed that had never opened.
TEST_F(Forwarding, AConfirmationThatIsNoneFailsTheOpen) {
  const Bytes whole = encode(wire::ChannelOpenConfirmation{0, 9, 1 << 20, 32768, {}});
  const Bytes tiny = encode(wire::ChannelOpenConfirmation{0, 9, 1 << 20, 1, {}});
  for (const Bytes& answer : {Bytes(whole.begin(), whole.end() - 1), tiny}) {
    make(Role::kClient);
    handler = std::make_shared<Handler>();
    connection->open_channel(SessionOpen{}, handler);
    EXPECT_FALSE(connection->on_packet(answer));
    connection->end();
    EXPECT_TRUE(handler->failure);
    EXPECT_EQ(handler->closes, 0);
  }
}

TEST_F(Forwarding, ThePortGoesBackOnlyWhenAnyWasAskedFor) {  // RFC 4254 §7.1
  ASSERT_TRUE(say_global("tcpip-forward", part(wire::TcpipForward{"localhost", 8080})));
  ASSERT_TRUE(say_global("tcpip-forward", part(wire::TcpipForward{"localhost", 0})));
  ASSERT_TRUE(say_global("tcpip-forward", part(wire::TcpipForward{"localhost", 0}), false));
  ASSERT_EQ(global_responders.size(), 3u);
  EXPECT_FALSE(global_responders[2].wants_reply());
  global_responders[2].accept_port(1);
  global_responders[1].accept_port(40001);  // decided first; its answer waits for the one before
  EXPECT_TRUE(transport.sent.empty());
  global_responders[0].accept_port(8080);
  ASSERT_EQ(transport.sent.size(), 2u);
  EXPECT_EQ(transport.sent[0], Bytes{81});
  EXPECT_EQ(forwarded_port(BytesView(transport.sent[1]).subspan(1)), 40001u);
}

// Adding and cancelling the same forward while the one before is still being decided.
TEST_F(Forwarding, OpenSshCve2026_73282_ConcurrentAddAndCancel) {
  const std::size_t most = ConnectionLimits().max_pending_replies;
  const Bytes port = part(wire::TcpipForward{"localhost", 8080}), any = part(wire::TcpipForward{"localhost", 0});
  for (std::size_t i = 0; i < most; ++i) {
    ASSERT_TRUE(say_global(i % 2 ? "cancel-tcpip-forward" : "tcpip-forward", i % 4 ? port : any));
  }
  ASSERT_EQ(global_responders.size(), most);
  // Decided backwards: the answers wait, and go out as they were asked, the port where any port was asked for.
  for (std::size_t i = most; i-- > 1;) global_responders[i].accept_port(static_cast<std::uint32_t>(9000 + i));
  EXPECT_TRUE(transport.sent.empty());
  global_responders[0].reject();
  ASSERT_EQ(transport.sent.size(), most);
  EXPECT_EQ(transport.sent[0], Bytes{82});
  for (std::size_t i = 1; i < most; ++i) {
    EXPECT_EQ(transport.sent[i][0], 81) << i;
    EXPECT_EQ(forwarded_port(BytesView(transport.sent[i]).subspan(1)).value_or(0), i % 4 ? 0 : 9000 + i) << i;
  }
  global_responders.clear();
  // More of them than may wait end the connection; those that do wait are harmless afterwards.
  for (std::size_t i = 0; i < most; ++i) ASSERT_TRUE(say_global("tcpip-forward", port));
  EXPECT_FALSE(say_global("tcpip-forward", port));
  connection->end();
  for (auto& responder : global_responders) responder.accept_port(1);
}

TEST_F(Forwarding, AnswersWithoutAPortAreNone) {
  EXPECT_FALSE(forwarded_port(std::nullopt));
  EXPECT_FALSE(forwarded_port(BytesView()));
  EXPECT_FALSE(forwarded_port(Bytes{0, 0, 0, 0}));
  EXPECT_FALSE(forwarded_port(Bytes{0, 1, 0, 0}));
  EXPECT_FALSE(forwarded_port(Bytes{0, 0, 1, 0, 0}));
  EXPECT_EQ(forwarded_port(Bytes{0, 0, 1, 0}), 256u);
}

TEST_F(Forwarding, RequestsReachTheServersOwnerOnly) {
  const std::vector<GlobalRequest> requests{TcpipForwardRequest{"", 0}, CancelTcpipForwardRequest{"", 9000},
                                            StreamlocalForwardRequest{"/tmp/a.sock"},
                                            CancelStreamlocalForwardRequest{"/tmp/a.sock"}};
  for (const GlobalRequest& request : requests) {
    ASSERT_TRUE(say_global(request_name(request), encode_payload(request)));
  }
  EXPECT_EQ(globals, requests);
  make(Role::kClient);
  globals.clear();
  transport.sent.clear();
  for (const GlobalRequest& request : requests) {
    ASSERT_TRUE(say_global(request_name(request), encode_payload(request)));
  }
  EXPECT_TRUE(globals.empty());
  EXPECT_EQ(transport.take(), std::vector<int>(requests.size(), 82));
}

// bad-input: Unix-socket paths that climb.
TEST_F(Forwarding, SocketPathsThatClimbAreRefused) {
  const std::string longest(107, 'x');
  for (const std::string& path : {std::string("/tmp/a..b"), std::string("..."), longest, std::string("/a/.../b")}) {
    EXPECT_TRUE(parse_channel_open("direct-streamlocal@openssh.com", part(wire::DirectStreamlocal{path, "", 0})))
        << path;
  }
  for (const std::string& path :
       {std::string(), std::string(".."), std::string("/tmp/../etc/x"), std::string("../x"), std::string("/tmp/.."),
        std::string("/tmp//../x"), std::string("/tmp/\0x", 7), std::string("/tmp/\n"), longest + "x"}) {
    opens.clear();
    const Bytes direct = part(wire::DirectStreamlocal{path, "", 0});
    ASSERT_TRUE(say(wire::ChannelOpen{"direct-streamlocal@openssh.com", 7, 1 << 20, 32768, Rest{direct}}));
    EXPECT_EQ(refusal(), ChannelOpenFailureReason::kConnectFailed);
    for (const char* name : {"streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com"}) {
      ASSERT_TRUE(say_global(name, part(wire::StreamlocalForward{path})));
      EXPECT_EQ(transport.take(), std::vector<int>{82});
    }
    EXPECT_TRUE(opens.empty());
    EXPECT_TRUE(globals.empty());
  }
}

TEST_F(Forwarding, MalformedPartsEndTheConnection) {
  const auto malformed = [&](std::string_view type, BytesView payload) {
    make(Role::kServer);
    EXPECT_FALSE(say(wire::ChannelOpen{std::string(type), 7, 1 << 20, 32768, Rest{payload}})) << type;
  };
  malformed("direct-streamlocal@openssh.com", Bytes{0, 0, 0, 9, '/'});
  malformed("direct-streamlocal@openssh.com", part(wire::StreamlocalForward{"/x"}));  // the reserved fields are missing
  malformed("forwarded-streamlocal@openssh.com", Bytes{1});
  malformed("auth-agent@openssh.com", Bytes{0});
  malformed("x11", Bytes{0, 0, 0, 0});
  make(Role::kServer);
  EXPECT_FALSE(say_global("streamlocal-forward@openssh.com", Bytes{0, 0, 0, 2, '/', 'x', 0}));
}

TEST_F(Forwarding, SessionsAskForAgentAndX11) {
  open_session();
  ASSERT_TRUE(say_request("auth-agent-req@openssh.com", {}));
  ASSERT_TRUE(say_request("x11-req", part(wire::X11Request{true, "MIT-MAGIC-COOKIE-1", "00ff", 1})));
  ASSERT_EQ(handler->requests.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<AgentForwardRequest>(handler->requests[0]));
  EXPECT_EQ(std::get<X11Request>(handler->requests[1]), (X11Request{true, "MIT-MAGIC-COOKIE-1", "00ff", 1}));
  handler->responders[1].accept();  // later than asked, and out of order
  handler->responders[0].reject();
  EXPECT_EQ(transport.take(), (std::vector<int>{100, 99}));
}

}  // namespace
}  // namespace mezite::ssh::connection_testing
