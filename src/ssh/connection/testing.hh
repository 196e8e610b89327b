// For tests: a transport that writes down what is sent, and a connection on it whose peer the test plays.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssh/connection/connection.hh"
#include "ssh/wire/messages.hh"

namespace mezite::ssh::connection_testing {

inline bool is_protocol_error(const Status& status) { return !status && status.error().code == ErrorCode::kProtocol; }

class FakeTransport final : public Transport {
 public:
  std::span<std::uint8_t> read_space(std::size_t) override { return {}; }
  Status commit_read(std::size_t) override { return {}; }
  void hold_input() override {}
  Status release_input() override { return {}; }
  BytesView pending_output() const override { return {}; }
  void consume_output(std::size_t) override {}
  std::size_t output_size() const override { return output; }
  using Transport::send;
  Status send(BytesView head, BytesView text) override {
    packet.assign(head.begin(), head.end());
    packet.insert(packet.end(), text.begin(), text.end());
    record(packet);
    return {};
  }
  void set_phase(Phase) override {}
  void start_rekey() override {}
  void disconnect(DisconnectReason, std::string_view) override {}
  std::optional<SteadyTime> next_deadline() const override { return std::nullopt; }
  Status on_time() override { return {}; }
  bool closed() const override { return false; }
  bool key_exchange_running() const override { return false; }
  Phase phase() const override { return Phase::kConnection; }
  BytesView session_id() const override { return {}; }
  BytesView host_key() const override { return {}; }
  bool peer_announced(PeerExtension) const override { return false; }
  std::string_view peer_version() const override { return version; }
  const NegotiatedAlgorithms& algorithms() const override { return algorithms_; }
  const std::vector<std::string>& server_sig_algs() const override { return server_sig_algs_; }
  const TransportCounters& counters() const override { return counters_; }

  void record(BytesView payload) {
    ++count;
    if (count_output) output += payload.size();
    if (keep) sent.push_back(to_bytes(payload));
  }
  // The numbers of what was sent, and forgets it.
  std::vector<int> take() {
    std::vector<int> numbers;
    for (const Bytes& packet_sent : sent) numbers.push_back(packet_sent[0]);
    sent.clear();
    return numbers;
  }

  Bytes packet;
  std::vector<Bytes> sent;
  std::string version = "SSH-2.0-OpenSSH_9.2p1";
  bool keep = true;
  bool count_output = false;
  std::uint64_t count = 0;
  std::size_t output = 0;

 private:
  NegotiatedAlgorithms algorithms_;
  std::vector<std::string> server_sig_algs_;
  TransportCounters counters_;
};

class Handler : public ChannelHandler {
 public:
  void on_open(Channel opened) override { channel = std::move(opened); }
  void on_open_failed(OpenFailure reason, std::string_view text) override { failure = {reason, std::string(text)}; }
  void on_data(BytesView data, DataKind kind) override {
    received += data.size();
    if (kind == DataKind::kStderr) received_stderr += data.size();
    if (consume) channel.consumed(data.size());
    if (when_data) when_data();
  }
  void on_eof() override { ++eofs; }
  void on_peer_stopped_reading() override { ++eows; }
  void on_request(const ChannelRequest& request, RequestResponder responder) override {
    requests.push_back(request);
    responders.push_back(std::move(responder));
  }
  void on_writable() override {
    ++writables;
    if (when_writable) when_writable();
  }
  void on_closed() override { ++closes; }

  Channel channel;
  bool consume = true;
  std::uint64_t received = 0, received_stderr = 0;
  int eofs = 0, eows = 0, writables = 0, closes = 0;
  std::optional<std::pair<OpenFailure, std::string>> failure;
  std::vector<ChannelRequest> requests;
  std::vector<RequestResponder> responders;
  std::function<void()> when_writable, when_data;
};

struct ConnectionTest : ::testing::Test, ConnectionOwner {
  void make(Role role, ConnectionLimits limits = {}, Keepalive keepalive = {}) {
    connection = std::make_shared<ConnectionCore>(transport, role, limits, keepalive, clock, *this);
  }
  ConnectionTest() { make(Role::kServer); }

  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    opens.push_back(open);
    if (hold_opens) {
      held_opens.push_back(std::move(responder));
    } else if (accept_opens) {
      responder.accept(handler);
    }
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) override {
    globals.push_back(request);
    global_responders.push_back(std::move(responder));
  }
  void on_connection_output() override {}

  template <class Message>
  Status say(const Message& message) {
    const Bytes payload = encode(message);
    return connection->on_packet(payload);
  }
  // A session that is open; the peer's number is 7, ours 0 when it is the first.
  void open_session(std::uint32_t window = 1 << 20, std::uint32_t max_packet = 32768) {
    ASSERT_TRUE(say(wire::ChannelOpen{"session", 7, window, max_packet, {}}));
    ASSERT_EQ(transport.take(), std::vector<int>{91});
  }
  void open_session_without_record() { ASSERT_TRUE(say(wire::ChannelOpen{"session", 7, 1 << 20, 32768, {}})); }
  Status say_request(std::string_view name, BytesView payload, bool want_reply = true) {
    return say(wire::ChannelRequest{0, std::string(name), want_reply, Rest{payload}});
  }

  ManualClock clock;
  FakeTransport transport;
  std::shared_ptr<ConnectionCore> connection;
  std::shared_ptr<Handler> handler = std::make_shared<Handler>();
  std::vector<ChannelOpen> opens;
  std::vector<GlobalRequest> globals;
  std::vector<GlobalRequestResponder> global_responders;
  std::vector<ChannelOpenResponder> held_opens;
  bool accept_opens = true;
  bool hold_opens = false;
};

}  // namespace mezite::ssh::connection_testing
