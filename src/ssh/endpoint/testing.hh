// For tests: endpoints joined in memory, handlers that write down what happens, and a peer that says what the test
// scripts.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ssh/endpoint/client.hh"
#include "ssh/endpoint/server.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/wire/messages.hh"

namespace mezite::ssh::endpoint_testing {

inline std::shared_ptr<const Signer> new_key(KeyType type = KeyType::kEd25519) {
  auto key = PrivateKey::generate(type, 2048);
  EXPECT_TRUE(key.has_value());
  return std::make_shared<PrivateKey>(std::move(*key));
}

// Moves bytes between two ends until nothing moves. False when there was nothing at all.
inline bool pump(Endpoint& a, Endpoint& b) {
  const auto move = [](Endpoint& from, Endpoint& to) {
    bool moved = false;
    while (true) {
      const BytesView out = from.pending_output();
      if (out.empty()) return moved;
      const auto space = to.read_space();
      if (space.empty()) {
        if (!to.wants_close()) return moved;
        from.consume_output(out.size());  // nobody listens any more
        continue;
      }
      const std::size_t size = std::min(out.size(), space.size());
      std::copy_n(out.begin(), size, space.begin());
      from.consume_output(size);
      to.commit_read(size);
      moved = true;
    }
  };
  bool any = false;
  while (true) {
    const bool there = move(a, b);
    const bool back = move(b, a);
    if (!there && !back) return any;
    any = true;
  }
}

// A channel's handler that keeps all it hears.
class RecordingHandler : public ChannelHandler {
 public:
  void on_open(Channel opened) override {
    channel = std::move(opened);
    ++opens;
    if (when_open) when_open(channel);
  }
  void on_open_failed(OpenFailure reason, std::string_view text) override { failure = {reason, std::string(text)}; }
  void on_data(BytesView data, DataKind kind) override {
    received += data.size();
    if (keep) (kind == DataKind::kStdout ? out : err).append(as_text(data));
    if (consume) channel.consumed(data.size());
    if (when_data) when_data(data);
  }
  void on_eof() override {
    ++eofs;
    if (when_eof) when_eof();
  }
  void on_request(const ChannelRequest& request, RequestResponder responder) override {
    requests.push_back(request);
    if (when_request) {
      when_request(request, std::move(responder));
    } else {
      responder.accept();
    }
  }
  void on_writable() override {
    ++writables;
    if (when_writable) when_writable();
  }
  void on_closed() override {
    ++closes;
    if (when_closed) when_closed();
  }

  Channel channel;
  bool keep = true;
  bool consume = true;
  std::string out, err;
  std::uint64_t received = 0;
  int opens = 0, eofs = 0, writables = 0, closes = 0;
  std::optional<std::pair<OpenFailure, std::string>> failure;
  std::vector<ChannelRequest> requests;
  std::function<void(Channel)> when_open;
  std::function<void(BytesView)> when_data;
  std::function<void()> when_eof, when_writable, when_closed;
  std::function<void(const ChannelRequest&, RequestResponder)> when_request;
};

class RecordingServer : public ServerHandler {
 public:
  struct Seen {
    std::string user;
    AuthMethod method;
    KeyProof proof;
    std::string algorithm;
    bool certified;
    unsigned round;
    std::vector<std::string> answers;
  };
  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    Seen seen{request.user,
              request.method,
              request.proof,
              request.algorithm,
              request.certificate.has_value(),
              request.round,
              {}};
    for (const Secret& answer : request.answers) seen.answers.emplace_back(answer.text());
    auth.push_back(std::move(seen));
    if (when_auth) {
      when_auth(request, std::move(responder));
    } else {
      responder.accept();
    }
  }
  void on_auth_refused(const AuthRequest&, std::string_view why) override { refused.emplace_back(why); }
  void on_authenticated(const PeerIdentity& who) override {
    identity = who;
    if (when_authenticated) when_authenticated();
  }
  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    opens.push_back(open);
    if (when_open) {
      when_open(open, std::move(responder));
    } else {
      handlers.push_back(std::make_shared<RecordingHandler>());
      responder.accept(handlers.back());
    }
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) override {
    globals.push_back(request);
    if (when_global) when_global(request, std::move(responder));
  }
  void on_closed(const Error& error) override {
    ++closes;
    closed = error;
    if (when_closed) when_closed();
  }

  std::vector<Seen> auth;
  std::vector<std::string> refused;
  std::optional<PeerIdentity> identity;
  std::vector<ChannelOpen> opens;
  std::vector<GlobalRequest> globals;
  std::vector<std::shared_ptr<RecordingHandler>> handlers;
  std::optional<Error> closed;
  int closes = 0;
  std::function<void(const AuthRequest&, AuthResponder)> when_auth;
  std::function<void()> when_authenticated, when_closed;
  std::function<void(const ChannelOpen&, ChannelOpenResponder)> when_open;
  std::function<void(const GlobalRequest&, GlobalRequestResponder)> when_global;
};

class RecordingClient : public ClientHandler {
 public:
  Status on_host_key(const PublicKey& key, const Certificate* certificate) override {
    host_key = key;
    host_certified = certificate != nullptr;
    return host_verdict;
  }
  void on_banner(std::string_view text) override { banner += text; }
  void on_challenge(const KeyboardInteractiveChallenge& challenge, ChallengeResponder responder) override {
    challenges.push_back(challenge);
    if (when_challenge) when_challenge(challenge, std::move(responder));
  }
  void on_authenticated() override {
    ++authenticated;
    if (when_authenticated) when_authenticated();
  }
  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    opens.push_back(open);
    handlers.push_back(std::make_shared<RecordingHandler>());
    responder.accept(handlers.back());
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder) override { globals.push_back(request); }
  std::vector<PublicKey> on_host_keys(const std::vector<PublicKey>& announced) override {
    announced_keys = announced;
    return when_host_keys ? when_host_keys(announced) : std::vector<PublicKey>();
  }
  void on_host_keys_proven(const Result<std::vector<PublicKey>>& keys) override { proven_keys = keys; }
  void on_closed(const Error& error) override {
    ++closes;
    closed = error;
  }

  std::vector<PublicKey> announced_keys;
  std::optional<Result<std::vector<PublicKey>>> proven_keys;
  std::function<std::vector<PublicKey>(const std::vector<PublicKey>&)> when_host_keys;
  Status host_verdict;
  std::optional<PublicKey> host_key;
  bool host_certified = false;
  std::string banner;
  std::vector<KeyboardInteractiveChallenge> challenges;
  int authenticated = 0, closes = 0;
  std::optional<Error> closed;
  std::vector<ChannelOpen> opens;
  std::vector<GlobalRequest> globals;
  std::vector<std::shared_ptr<RecordingHandler>> handlers;
  std::function<void(const KeyboardInteractiveChallenge&, ChallengeResponder)> when_challenge;
  std::function<void()> when_authenticated;
};

inline std::shared_ptr<ServerConfig> server_config(std::shared_ptr<const Signer> host_key = new_key()) {
  auto config = std::make_shared<ServerConfig>();
  config->transport.host_keys = {{std::move(host_key), {}}};
  config->announce_host_keys = false;  // the script of a test is about something else
  return config;
}

// A client and a server of ours.
struct Pair {
  explicit Pair(std::shared_ptr<ServerConfig> config = server_config(), ClientConfig client_options = {}) {
    client_options.user = client_options.user.empty() ? "alice" : client_options.user;
    if (client_options.identities.empty()) client_options.identities = {Identity{new_key(), {}}};
    server = std::make_unique<ServerEndpoint>(std::move(config), server_handler, clock);
    client = std::make_unique<ClientEndpoint>(std::move(client_options), client_handler, clock);
  }
  ~Pair() {
    client.reset();
    server.reset();
  }
  void run() {
    if (client && server) pump(*client, *server);
  }

  ManualClock clock;
  RecordingServer server_handler;
  RecordingClient client_handler;
  std::unique_ptr<ServerEndpoint> server;
  std::unique_ptr<ClientEndpoint> client;
};

// A client or server that has a real transport, and for the rest says what the test tells it to.
class RawPeer final : public Endpoint, public PacketSink {
 public:
  explicit RawPeer(Role role, const Clock& clock, std::shared_ptr<const Signer> host_key = nullptr) {
    auto config = std::make_shared<TransportConfig>();
    config->role = role;
    config->verify_host_key = [](const HostKeyOffer&) { return Status(); };
    if (host_key) config->host_keys = {{host_key, {}}};
    auto made = Transport::create(config, clock, *this);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    transport = std::move(*made);
  }

  std::span<std::uint8_t> read_space() override {
    return over ? std::span<std::uint8_t>() : transport->read_space(65536);
  }
  void commit_read(std::size_t size) override {
    if (auto status = transport->commit_read(size); !status || transport->closed()) over = true;
  }
  void on_stream_end(std::optional<Error>) override { over = true; }
  BytesView pending_output() const override { return transport->pending_output(); }
  void consume_output(std::size_t size) override { transport->consume_output(size); }
  std::size_t output_size() const override { return transport->output_size(); }
  bool wants_close() const override { return over; }
  const Error* error() const override { return nullptr; }
  std::optional<SteadyTime> next_deadline() const override { return std::nullopt; }
  void on_time() override {}
  void set_wakeup(std::move_only_function<void()>) override {}

  Status on_packet(BytesView payload) override {
    if (payload[0] == 52) transport->set_phase(Phase::kConnection);
    if (keep) {
      packets.push_back(to_bytes(payload));
    } else {
      ++counts[payload[0]];
    }
    return {};
  }
  Status on_service_ready() override {
    ready = true;
    return {};
  }
  void on_peer_disconnect(DisconnectReason reason, std::string_view text) override {
    disconnect_reason = reason;
    disconnect_text = text;
  }

  template <class Message>
  void say(const Message& message) {
    say_raw(encode(message));
  }
  void say_raw(BytesView payload) {
    const auto status = transport->send(payload);
    EXPECT_TRUE(status.has_value()) << status.error().message;
  }
  // The numbers of what came, and forgets it.
  std::vector<int> take_numbers() {
    std::vector<int> numbers;
    for (const Bytes& packet : packets) numbers.push_back(packet[0]);
    packets.clear();
    return numbers;
  }

  std::unique_ptr<Transport> transport;
  std::vector<Bytes> packets;
  std::map<int, std::size_t> counts;
  bool keep = true;
  bool ready = false;
  bool over = false;
  std::optional<DisconnectReason> disconnect_reason;
  std::string disconnect_text;
};

// Our server, and a scripted client whose service is accepted.
struct RawClientTest {
  explicit RawClientTest(std::shared_ptr<ServerConfig> config = server_config())
      : server(std::make_unique<ServerEndpoint>(std::move(config), handler, clock)), peer(Role::kClient, clock) {
    run();
    EXPECT_TRUE(peer.ready);
  }
  void run() { pump(peer, *server); }

  UserauthRequest request(std::string_view method, BytesView part = {}, std::string_view user = "alice",
                          std::string_view service = "ssh-connection") {
    return {std::string(user), std::string(service), std::string(method), Rest{part}};
  }
  // A publickey request by `key`; `tweak` may spoil what is signed.
  Bytes publickey(const Signer& key, std::string_view user = "alice",
                  const std::function<void(UserauthPublickeySigned&)>& tweak = {}) {
    UserauthPublickeySigned to_sign;
    to_sign.session_id = to_bytes(peer.transport->session_id());
    to_sign.user = user;
    to_sign.service = "ssh-connection";
    to_sign.algorithm = key.public_key().signature_algorithms().front();
    to_sign.public_key = key.public_key().wire();
    const std::string algorithm = to_sign.algorithm;
    if (tweak) tweak(to_sign);
    const auto signature = key.sign(algorithm, encode(to_sign));
    EXPECT_TRUE(signature.has_value());
    const Bytes part = encode(UserauthPublickey{true, algorithm, key.public_key().wire(), BytesView(*signature)});
    return encode(request("publickey", part, user));
  }
  void log_in() {
    const auto key = new_key();
    peer.say_raw(publickey(*key));
    run();
    EXPECT_EQ(peer.take_numbers(), std::vector<int>{52});
  }
  // Opens a session; the server's channel gets number 0 when it is the first.
  void open_session(std::uint32_t sender = 7, std::uint32_t window = 1 << 20, std::uint32_t max_packet = 32768) {
    peer.say(wire::ChannelOpen{"session", sender, window, max_packet, {}});
    run();
  }

  ManualClock clock;
  RecordingServer handler;
  std::unique_ptr<ServerEndpoint> server;
  RawPeer peer;
};

}  // namespace mezite::ssh::endpoint_testing
