#include "agent/hub/control.hh"

#include <algorithm>
#include <optional>
#include <random>

#include "agent/settings/version.hh"
#include "base/back_off.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "mezite/v1/control.pb.h"
#include "net/connect.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxFrameBytes = 64 << 10;
constexpr std::size_t kMaxOutputBytes = 1 << 20;
constexpr std::chrono::seconds kHeartbeat{10};
constexpr std::chrono::seconds kConnectLimit{10};
constexpr std::chrono::milliseconds kLeastDelay{200};
constexpr std::chrono::milliseconds kMostDelay{20'000};

void put(const CaReport& report, v1::CaReport& out) {
  for (const std::string& one : report.user) out.add_user(one);
  for (const std::string& one : report.host) out.add_host(one);
  for (const std::string& one : report.spiffe) out.add_spiffe(one);
  out.set_ssh_signer(report.ssh_signer);
  out.set_x509_signer(report.x509_signer);
  out.set_revision(report.revision);
}

std::uint32_t read_length(BytesView bytes) {
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

}  // namespace

std::chrono::milliseconds reconnect_delay(unsigned failures, std::uint64_t random) {
  return back_off(failures, kLeastDelay, kMostDelay, random);
}

// One connection after the other; each attempt is an Attempt of its own, so that nothing of an old one can reach a new.
class ControlConnection::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(net::Shard& on, net::WorkerPool& pool, const Clock& time, net::HostPort to, ControlCallbacks calls,
       BalancerTls in_front)
      : shard(on),
        workers(pool),
        clock(time),
        hub(std::move(to)),
        balancer(std::move(in_front)),
        callbacks(std::move(calls)) {}

  class Attempt;

  void connect();
  void ended(Attempt* attempt, const Error& error);
  void came_up();
  void stop();
  void drop();
  void send(const v1::ToHub& message);
  void heartbeat();

  net::Shard& shard;
  net::WorkerPool& workers;
  const Clock& clock;
  const net::HostPort hub;
  const BalancerTls balancer;
  ControlCallbacks callbacks;
  std::shared_ptr<const AgentIdentity> identity;
  std::shared_ptr<Attempt> attempt;
  bool up = false;
  bool stopped = false;

 private:
  unsigned failures_ = 0;
  net::TimerId retry_{};
  net::TimerId heartbeat_{};
  std::mt19937_64 random_{std::random_device{}()};
};

class ControlConnection::Body::Attempt final : public ssh::ClientHandler,
                                               public ssh::ChannelHandler,
                                               public std::enable_shared_from_this<Attempt> {
 public:
  explicit Attempt(Body& body) : body_(body), identity_(body.identity) {}

  void start(UniqueFd fd) {
    ssh::ClientConfig config;
    config.user = identity_->node_id;
    config.identities = {{std::make_shared<ssh::PrivateKey>(identity_->keys.host_key), identity_->host_certificate}};
    config.keyboard_interactive = false;
    config.auth_timeout = std::chrono::seconds(20);
    config.keepalive.interval = std::chrono::seconds(15);
    auto endpoint = std::make_unique<ssh::ClientEndpoint>(std::move(config), *this, body_.clock);
    endpoint_ = endpoint.get();
    link_ = std::make_unique<net::SshLink>(body_.shard, std::move(fd), std::move(endpoint), Bytes{},
                                           [weak = weak_from_this()](Status status) {
                                             auto self = weak.lock();
                                             if (!self) return;
                                             self->body_.ended(self.get(), self->cause(std::move(status)));
                                           });
  }

  Status on_host_key(const ssh::PublicKey&, const ssh::Certificate* certificate) override {
    if (!certificate) return fail(ErrorCode::kUnauthenticated, "the hub shows a plain host key, no host certificate");
    std::vector<ssh::PublicKey> cas;
    for (const std::string& line : identity_->trust.host_cas) {
      MEZ_TRY(ssh::PublicKey key, ssh::PublicKey::from_text(line));
      cas.push_back(std::move(key));
    }
    auto verified = ssh::verify_certificate(*certificate, {.type = ssh::CertificateType::kHost,
                                                           .trusted_cas = cas,
                                                           .now = body_.clock.now(),
                                                           .principal = identity_->cluster_name,
                                                           .source_address = std::nullopt});
    if (verified) return {};
    if (verified.error().reason == ssh::CertificateRefusalReason::kUnknownCa) {
      return fail(ErrorCode::kUnauthenticated,
                  "the hub's host certificate is of a Host CA that is not the one pinned when this agent joined; if "
                  "that is right, delete MEZITE_DATA_DIR and join again with a fresh token");
    }
    return fail(ErrorCode::kUnauthenticated, "the hub's host certificate: {}", verified.error().message);
  }

  void on_authenticated() override {
    endpoint_->open_channel(ssh::OtherOpen{.type = "control@mezite.com", .payload = {}}, shared_from_this());
  }

  // Of the SSH connection; the link tells the body right after.
  void on_closed(const Error& error) override { error_ = error; }

  void on_open(ssh::Channel channel) override {
    channel_ = std::move(channel);
    body_.came_up();
  }
  void on_open_failed(ssh::OpenFailure, std::string_view text) override {
    end({ErrorCode::kUnavailable, fmt::format("the hub refuses the control channel: {}", printable(text))});
  }
  void on_closed() override { end({ErrorCode::kUnavailable, "the hub closed the control channel"}); }

  void on_data(BytesView data, ssh::DataKind) override {
    channel_.consumed(data.size());
    input_.insert(input_.end(), data.begin(), data.end());
    auto self = shared_from_this();
    std::size_t at = 0;
    while (input_.size() - at >= 4) {
      std::uint32_t size = read_length(BytesView(input_).subspan(at));
      if (size > kMaxFrameBytes) return end({ErrorCode::kProtocol, "the hub sent a frame over 64 KiB"});
      if (input_.size() - at - 4 < size) break;
      v1::ToAgent message;
      if (!message.ParseFromArray(input_.data() + at + 4, static_cast<int>(size))) {
        return end({ErrorCode::kProtocol, "the hub sent a frame that is no message"});
      }
      at += 4 + size;
      handle(message);
      if (ended_) return;
    }
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void on_writable() override { flush(); }

  void send(const v1::ToHub& message) {
    std::string body = message.SerializeAsString();
    if (ended_ || body.size() > kMaxFrameBytes) return;
    if (output_.size() + body.size() > kMaxOutputBytes) return end({ErrorCode::kTimeout, "the hub takes no messages"});
    auto size = static_cast<std::uint32_t>(body.size());
    for (int shift : {24, 16, 8, 0}) output_.push_back(static_cast<std::uint8_t>(size >> shift));
    output_.insert(output_.end(), body.begin(), body.end());
    flush();
  }

  void end(Error why) {
    if (ended_) return;
    ended_ = true;
    error_ = why;
    link_->abort(std::move(why));
  }

  void say_goodbye() {
    ended_ = true;
    endpoint_->disconnect("the agent is stopping");
    link_->close();
  }

 private:
  void flush() {
    std::size_t n = channel_.write(output_);
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(n));
  }

  void handle(const v1::ToAgent& message) {
    switch (message.message_case()) {
      case v1::ToAgent::kDial: {
        const v1::Dial& dial = message.dial();
        DialOrder order{.token = dial.token(), .least_revision = dial.least_revision(), .user = dial.user()};
        if (auto client = net::parse_host_port(dial.client_address()); client && net::is_ip_address(client->host)) {
          order.client = {client->host, client->port};
        }
        body_.callbacks.dial(std::move(order));
        return;
      }
      case v1::ToAgent::kRefresh: body_.callbacks.refresh(message.refresh().revision()); return;
      case v1::ToAgent::kTerminate:
        body_.callbacks.terminate(message.terminate().session_id(), message.terminate().reason());
        return;
      case v1::ToAgent::MESSAGE_NOT_SET: return;  // of a newer hub
    }
  }

  Error cause(Status status) const {
    if (error_) return *error_;
    if (!status) return status.error();
    return {ErrorCode::kUnavailable, "the hub closed the connection"};
  }

  Body& body_;
  std::shared_ptr<const AgentIdentity> identity_;
  ssh::Channel channel_;
  Bytes input_;
  Bytes output_;
  std::optional<Error> error_;
  bool ended_ = false;
  std::unique_ptr<net::SshLink> link_;
  ssh::ClientEndpoint* endpoint_ = nullptr;
};

void ControlConnection::Body::connect() {
  retry_ = {};
  if (stopped || !identity) return;
  net::async_connect(shard, workers, hub, kConnectLimit, [weak = weak_from_this()](Result<net::Connected> connected) {
    auto self = weak.lock();
    if (!self || self->stopped) return;
    if (!connected) return self->ended(nullptr, connected.error());
    Result<UniqueFd> way = self->balancer.wrap(self->shard, std::move(connected->fd), self->hub.host);
    if (!way) return self->ended(nullptr, way.error());
    self->attempt = std::make_shared<Attempt>(*self);
    self->attempt->start(std::move(*way));
  });
}

void ControlConnection::Body::came_up() {
  up = true;
  failures_ = 0;
  log::info("connected to the hub", {{"hub", hub.text()}});
  v1::ToHub message;
  AgentReport report = callbacks.report();
  v1::Hello* hello = message.mutable_hello();
  hello->set_version(version());
  hello->set_hostname(report.hostname);
  for (const auto& [name, value] : report.labels) (*hello->mutable_labels())[name] = value;
  hello->set_snapshot_revision(report.snapshot_revision);
  put(report.cas, *hello->mutable_cas());
  hello->set_enhanced_recording(report.enhanced_recording.substr(0, 256));
  send(message);
  heartbeat_ = shard.after(kHeartbeat, [this] { heartbeat(); });
  callbacks.connected();
}

void ControlConnection::Body::heartbeat() {
  shard.cancel(heartbeat_);
  if (!up) return;
  v1::ToHub message;
  AgentReport report = callbacks.report();
  v1::Heartbeat* beat = message.mutable_heartbeat();
  beat->set_snapshot_revision(report.snapshot_revision);
  beat->set_sessions(report.sessions);
  for (const auto& [name, value] : report.labels) (*beat->mutable_labels())[name] = value;
  beat->set_spool_bytes(report.spool_bytes);
  v1::RecordingBacklog* recordings = beat->mutable_recordings();
  recordings->set_files(report.recordings.files);
  recordings->set_bytes(report.recordings.bytes);
  recordings->set_limit_bytes(report.recordings.limit_bytes);
  recordings->set_oldest_age_ms(report.recordings.oldest_age_ms);
  recordings->set_set_aside(report.recordings.set_aside);
  recordings->set_upload_failures(report.recordings.upload_failures);
  put(report.cas, *beat->mutable_cas());
  send(message);
  heartbeat_ = shard.after(kHeartbeat, [this] { heartbeat(); });
}

void ControlConnection::Body::send(const v1::ToHub& message) {
  if (up && attempt) attempt->send(message);
}

void ControlConnection::Body::ended(Attempt* which, const Error& error) {
  if (which && which != attempt.get()) return;
  shard.cancel(heartbeat_);
  bool was_up = std::exchange(up, false);
  std::shared_ptr<Attempt> last = std::move(attempt);  // we may be inside of it
  attempt.reset();
  if (last) shard.at_end_of_turn([last] {});
  if (stopped) return;
  ++failures_;
  auto delay = reconnect_delay(failures_, random_());
  log::warn(was_up ? "lost the connection to the hub" : "connecting to the hub failed",
            {{"hub", hub.text()}, {"error", error}, {"retry_in_ms", delay.count()}});
  retry_ = shard.after(delay, [this] { connect(); });
}

void ControlConnection::Body::stop() {
  stopped = true;
  up = false;
  shard.cancel(retry_);
  shard.cancel(heartbeat_);
  if (attempt) attempt->say_goodbye();
}

void ControlConnection::Body::drop() {
  stopped = true;
  shard.cancel(retry_);
  shard.cancel(heartbeat_);
  attempt.reset();
}

ControlConnection::ControlConnection(net::Shard& shard, net::WorkerPool& workers, const Clock& clock, net::HostPort hub,
                                     ControlCallbacks callbacks, BalancerTls balancer)
    : body_(std::make_shared<Body>(shard, workers, clock, std::move(hub), std::move(callbacks), std::move(balancer))) {}

ControlConnection::~ControlConnection() { body_->drop(); }

void ControlConnection::set_identity(std::shared_ptr<const AgentIdentity> identity) {
  body_->identity = std::move(identity);
}
void ControlConnection::start() { body_->connect(); }
void ControlConnection::stop() { body_->stop(); }
bool ControlConnection::is_up() const { return body_->up; }
void ControlConnection::send_heartbeat() { body_->heartbeat(); }

void ControlConnection::dial_failed(std::string_view token, std::string_view error) {
  v1::ToHub message;
  message.mutable_dial_failed()->set_token(std::string(token));
  message.mutable_dial_failed()->set_error(std::string(error.substr(0, 1000)));
  body_->send(message);
}

}  // namespace mezite::agent
