// Channels between our own two ends, over a real transport in memory.
#include <gtest/gtest.h>

#include "ssh/endpoint/interop.hh"
#include "ssh/endpoint/testing.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

struct Session {
  explicit Session(std::shared_ptr<ServerConfig> config = server_config()) : pair(std::move(config)) {
    pair.run();
    EXPECT_EQ(pair.client_handler.authenticated, 1);
    pair.client->open_channel(SessionOpen{}, near);
    pair.run();
    EXPECT_EQ(near->opens, 1);
    far = pair.server_handler.handlers.at(0);
  }
  Pair pair;
  std::shared_ptr<RecordingHandler> near = std::make_shared<RecordingHandler>();
  std::shared_ptr<RecordingHandler> far;
};

Bytes pattern(std::size_t size) {
  Bytes data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 2654435761u >> 11);
  return data;
}

// Writes it all, going on whenever there is room.
void feed(RecordingHandler& handler, const Bytes& data, std::size_t& done) {
  const auto go = [&handler, &data, &done] { done += handler.channel.write(BytesView(data).subspan(done)); };
  handler.when_writable = go;
  go();
}

TEST(Channels, ExecWithExitStatus) {
  Session s;
  bool granted = false;
  s.near->channel.request(ExecRequest{"id"}, [&](bool ok) { granted = ok; });
  s.pair.run();
  EXPECT_TRUE(granted);
  EXPECT_EQ(std::get<ExecRequest>(s.far->requests.at(0)).command, "id");
  s.far->channel.write(as_bytes("uid=0\n"));
  s.far->channel.write_stderr(as_bytes("warning\n"));
  s.far->channel.send_eof();
  s.far->channel.send_exit_status(3);
  s.far->channel.close();
  s.pair.run();
  EXPECT_EQ(s.near->out, "uid=0\n");
  EXPECT_EQ(s.near->err, "warning\n");
  EXPECT_EQ(s.near->eofs, 1);
  EXPECT_EQ(s.near->closes, 1);
  EXPECT_EQ(s.far->closes, 1);
  EXPECT_EQ(std::get<ExitStatus>(s.near->requests.at(0)).code, 3u);
  EXPECT_EQ(s.pair.client->channel_count(), 0u);
  EXPECT_EQ(s.pair.server->channel_count(), 0u);
}

TEST(Channels, DataBothWaysAtOnce) {
  Session s;
  const Bytes data = pattern(10 << 20);
  std::size_t up = 0, down = 0;
  feed(*s.near, data, up);
  feed(*s.far, data, down);
  s.pair.run();
  EXPECT_EQ(up, data.size());
  EXPECT_EQ(down, data.size());
  EXPECT_EQ(s.far->out, as_text(data));
  EXPECT_EQ(s.near->out, as_text(data));
}

TEST(Channels, RekeyInTheMiddleOfData) {
  auto config = server_config();
  config->transport.rekey.bytes = 1 << 20;
  Session s(config);
  const Bytes data = pattern(20 << 20);
  std::size_t up = 0, down = 0;
  feed(*s.near, data, up);
  feed(*s.far, data, down);
  s.pair.run();
  EXPECT_EQ(s.far->out, as_text(data));
  EXPECT_EQ(s.near->out, as_text(data));
}

TEST(Channels, AReceiverThatDoesNotConsumeHoldsTheSenderBack) {
  Session s;
  s.far->consume = false;
  const Bytes data = pattern(8 << 20);
  std::size_t up = 0;
  feed(*s.near, data, up);
  s.pair.run();
  EXPECT_EQ(up, 2u << 20);
  EXPECT_EQ(s.far->received, 2u << 20);
  for (int i = 0; i < 20 && up < data.size(); ++i) {
    s.far->channel.consumed(1 << 20);
    s.pair.run();
  }
  EXPECT_EQ(up, data.size());
}

TEST(Channels, OutputThatNobodyTakesStaysUnderTheHighWater) {
  Session s;
  const Bytes data = pattern(32 << 20);
  std::size_t down = 0;
  feed(*s.far, data, down);
  EXPECT_LT(s.pair.server->output_size(), (1u << 20) + 70'000);
  EXPECT_GE(s.pair.server->output_size(), 1u << 20);
  EXPECT_EQ(s.far->channel.writable(), 0u);
}

TEST(Channels, NamesOfOurOwnInBothDirections) {
  Session s;
  auto control = std::make_shared<RecordingHandler>();
  s.pair.client->open_channel(OtherOpen{"control@mezite.com", Bytes{1, 2, 3}}, control);
  auto back = std::make_shared<RecordingHandler>();
  s.pair.server->open_channel(ForwardedTcpipOpen{"127.0.0.1", 80, "10.0.0.1", 999}, back);
  s.pair.run();
  EXPECT_EQ(control->opens, 1);
  EXPECT_EQ(back->opens, 1);
  EXPECT_EQ(s.pair.server_handler.opens.at(1), ChannelOpen(OtherOpen{"control@mezite.com", Bytes{1, 2, 3}}));
  EXPECT_EQ(s.pair.client_handler.opens.at(0), ChannelOpen(ForwardedTcpipOpen{"127.0.0.1", 80, "10.0.0.1", 999}));
  back->channel.write(as_bytes("hello"));
  s.pair.run();
  EXPECT_EQ(s.pair.client_handler.handlers.at(0)->out, "hello");
}

TEST(Channels, OpenThatIsDecidedLater) {
  Session s;
  std::optional<ChannelOpenResponder> later;
  s.pair.server_handler.when_open = [&](const ChannelOpen&, ChannelOpenResponder responder) {
    later = std::move(responder);
  };
  auto one = std::make_shared<RecordingHandler>();
  s.pair.client->open_channel(DirectTcpipOpen{"node", 22, "127.0.0.1", 1}, one);
  s.pair.run();
  EXPECT_EQ(one->opens, 0);
  later->reject(OpenFailure::kConnectFailed, "no node of that name");
  s.pair.run();
  ASSERT_TRUE(one->failure);
  EXPECT_EQ(one->failure->first, OpenFailure::kConnectFailed);
  EXPECT_EQ(one->failure->second, "no node of that name");
}

TEST(Channels, WakeupComesOnceForOutputFromOutside) {
  Session s;
  int wakeups = 0;
  s.pair.server->set_wakeup([&] { ++wakeups; });
  s.far->channel.write(as_bytes("a"));
  s.far->channel.write(as_bytes("b"));
  EXPECT_EQ(wakeups, 1);
  s.pair.run();
  EXPECT_EQ(wakeups, 1);  // inside of the driver's calls there is none
  s.far->channel.write(as_bytes("c"));
  EXPECT_EQ(wakeups, 2);
}

TEST(Channels, DisconnectTellsEverybody) {
  Session s;
  s.pair.server->disconnect("maintenance\x1b[2J");
  EXPECT_EQ(s.far->closes, 1);
  EXPECT_EQ(s.pair.server_handler.closes, 1);
  s.pair.run();
  EXPECT_EQ(s.near->closes, 1);
  ASSERT_TRUE(s.pair.client_handler.closed);
  EXPECT_EQ(s.pair.client_handler.closed->message, "the other end disconnected: maintenance\\x1b[2J (reason 11)");
  s.far->channel.write(as_bytes("x"));
}

TEST(Channels, StreamThatEndsTellsEverybody) {
  Session s;
  s.pair.client->on_stream_end();
  EXPECT_EQ(s.near->closes, 1);
  EXPECT_EQ(s.pair.client_handler.closes, 1);
  EXPECT_EQ(s.pair.client_handler.closed->code, ErrorCode::kUnavailable);
  EXPECT_TRUE(s.pair.client->wants_close());
  EXPECT_TRUE(s.pair.client->read_space().empty());
}

TEST(Channels, HandlerDestroysTheEndpointFromItsCallbacks) {
  for (int at = 0; at < 5; ++at) {
    Session s;
    auto& server = s.pair.server;
    const auto destroy = [&] { server.reset(); };
    switch (at) {
      case 0: s.far->when_data = [&](BytesView) { destroy(); }; break;
      case 1: s.far->when_eof = destroy; break;
      case 2: s.far->when_closed = destroy; break;
      case 3: s.far->when_request = [&](const ChannelRequest&, RequestResponder) { destroy(); }; break;
      case 4: s.far->when_data = [&](BytesView) { server->disconnect("gone"); }; break;
      default: break;
    }
    s.near->channel.write(as_bytes("data"));
    s.near->channel.request(ShellRequest{}, [](bool) {});
    s.near->channel.send_eof();
    s.near->channel.close();
    const BytesView out = s.pair.client->pending_output();
    const auto space = server->read_space();
    ASSERT_GE(space.size(), out.size());
    std::copy(out.begin(), out.end(), space.begin());
    server->commit_read(out.size());
    EXPECT_EQ(server == nullptr, at != 4) << at;
    s.far->channel.write(as_bytes("nobody"));
    s.far->channel.close();
    s.pair.client.reset();
  }
}

TEST(Channels, WritableCallbackMayDestroyTheEndpoint) {
  Session s;
  const Bytes data = pattern(4 << 20);
  s.far->channel.write(data);
  s.far->when_writable = [&] { s.pair.server.reset(); };
  while (s.pair.server && !s.pair.server->pending_output().empty()) {
    s.pair.server->consume_output(s.pair.server->pending_output().size());
  }
  EXPECT_FALSE(s.pair.server);
  s.pair.client.reset();
}

TEST(Channels, ConfigurationThatCannotWorkIsToldAtTheFirstLook) {
  auto config = std::make_shared<ServerConfig>();  // no host key
  ManualClock clock;
  RecordingServer handler;
  ServerEndpoint endpoint(config, handler, clock);
  EXPECT_TRUE(endpoint.wants_close());
  ASSERT_NE(endpoint.error(), nullptr);
  EXPECT_EQ(handler.closes, 0);
  EXPECT_EQ(endpoint.next_deadline(), clock.steady());
  endpoint.on_time();
  EXPECT_EQ(handler.closes, 1);
  EXPECT_FALSE(endpoint.next_deadline());
}

// Not a test: what a gibibyte costs in memory, both ends together. --gtest_also_run_disabled_tests
TEST(Channels, DISABLED_Throughput) {
  for (const std::string& cipher : AlgorithmPreferences::defaults().ciphers) {
    auto config = server_config();
    config->transport.algorithms.ciphers = {cipher};
    Session s(config);
    s.near->keep = false;
    std::uint64_t left = std::uint64_t{1} << 30;
    const Bytes zeros(std::size_t{256} << 10);
    s.far->when_writable = [&] {
      while (left > 0) {
        const std::size_t taken =
            s.far->channel.write(BytesView(zeros).first(std::min<std::uint64_t>(left, zeros.size())));
        if (taken == 0) return;
        left -= taken;
      }
    };
    const Cost cost = measure([&] {
      s.far->when_writable();
      s.pair.run();
    });
    EXPECT_EQ(s.near->received, 1u << 30);
    print_cost("both ends, " + cipher, std::size_t{1} << 30, cost);
  }
}

// ---- a hostile client after its login

TEST(HostileChannels, RequestsWhoseAnswersNobodyReads) {
  RawClientTest test;
  test.log_in();
  test.open_session();
  test.peer.packets.clear();
  // 40 bytes ask, about as many answer; the client takes nothing.
  const Bytes keepalive = encode(wire::GlobalRequest{"keepalive@openssh.com", true, {}});
  std::size_t accepted = 0;
  for (int i = 0; i < 400; ++i) {
    for (int j = 0; j < 500; ++j) test.peer.say_raw(keepalive);
    while (true) {
      const BytesView out = test.peer.pending_output();
      const auto space = test.server->read_space();
      if (out.empty() || space.empty()) break;
      const std::size_t size = std::min(out.size(), space.size());
      std::copy_n(out.begin(), size, space.begin());
      test.peer.consume_output(size);
      test.server->commit_read(size);
      accepted += size;
    }
    if (test.server->read_space().empty()) break;
  }
  EXPECT_TRUE(test.server->read_space().empty());  // reading stopped
  EXPECT_LT(test.server->output_size(), 4u << 20);
  EXPECT_FALSE(test.server->wants_close());
}

// x/crypto CVE-2026-39827 over a real transport.
TEST(HostileChannels, ManyRefusedOpens) {
  RawClientTest test;
  test.log_in();
  test.peer.keep = false;
  test.handler.when_open = [](const ChannelOpen&, ChannelOpenResponder) {};
  const Bytes open = encode(wire::ChannelOpen{"session", 1, 1 << 20, 32768, {}});
  for (int i = 0; i < 200; ++i) {
    for (int j = 0; j < 500; ++j) test.peer.say_raw(open);
    test.run();
    test.handler.opens.clear();
  }
  EXPECT_EQ(test.peer.counts[92], 100'000u);
  EXPECT_EQ(test.server->channel_count(), 0u);
}

TEST(HostileChannels, BrokenRulesEndTheConnectionWithAReason) {
  const std::vector<Bytes> bad = {
      encode(wire::ChannelData{0, Bytes(40'000)}),       // over the maximum packet
      encode(wire::ChannelData{5, Bytes(1)}),            // unknown channel
      encode(wire::ChannelWindowAdjust{0, 0xffffffff}),  // overflow
      encode(wire::ChannelSuccess{0}),                   // nobody asked
      Bytes{81},                                         // nobody asked
      Bytes{101},
      Bytes{98, 0, 0},
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    RawClientTest test;
    test.log_in();
    test.open_session();
    test.peer.say_raw(bad[i]);
    test.run();
    if (bad[i][0] == 101) continue;  // unassigned: the transport answers UNIMPLEMENTED
    EXPECT_TRUE(test.server->wants_close()) << i;
    EXPECT_EQ(test.peer.disconnect_reason, DisconnectReason::kProtocolError) << i;
    EXPECT_EQ(test.handler.handlers.at(0)->closes, 1) << i;
    EXPECT_EQ(test.handler.closed->code, ErrorCode::kProtocol) << i;
  }
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
