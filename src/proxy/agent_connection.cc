#include "proxy/agent_connection.hh"

#include "auth/use/ca_rotation.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "mezite/v1/control.pb.h"
#include "net/first_bytes.hh"
#include "proxy/denial.hh"

namespace mezite::proxy {
namespace {

constexpr std::string_view kDialPreface = "MEZITE-DIAL/1 ";
constexpr std::string_view kControlChannel = "control@mezite.com";
constexpr std::size_t kMaxPreface = 128;
constexpr std::chrono::seconds kPrefaceTimeout{10};
constexpr std::chrono::seconds kHeartbeatTimeout{30};
constexpr std::size_t kMaxOutput = std::size_t{1} << 20;  // of control messages that the agent does not take
constexpr std::size_t kMaxLabels = 256;

access::Labels labels_of(const google::protobuf::Map<std::string, std::string>& map) {
  access::Labels labels;
  for (const auto& [key, value] : map) {
    if (labels.size() >= kMaxLabels) break;
    labels.emplace(key, value);
  }
  return labels;
}

}  // namespace

class AgentConnection final : public ssh::ServerHandler,
                              public Tunnel,
                              public std::enable_shared_from_this<AgentConnection> {
 public:
  AgentConnection(Context& context, NodeReports& reports, net::Shard& shard, net::Address peer,
                  net::Admission::Pass pass, std::shared_ptr<HalfOpen> half)
      : context_(context),
        reports_(reports),
        shard_(shard),
        peer_(std::move(peer)),
        pass_(std::move(pass)),
        half_(std::move(half)) {}
  // On any thread, when ended() has been called; else when the shards have stopped.
  ~AgentConnection() override { shard_.cancel(silence_); }

  void start(UniqueFd fd, Bytes first_bytes) {
    live_ =
        context_.live.add(shard_, LiveKind::kConnection, shared_from_this(), [this] { end("the hub is stopping"); });
    half_->end = [this] { link_->abort({ErrorCode::kUnavailable, "too many connections are being set up"}); };
    auto endpoint = std::make_unique<ssh::ServerEndpoint>(context_.tunnel_config(), *this, context_.services.clock);
    endpoint_ = endpoint.get();
    link_ = std::make_unique<net::SshLink>(shard_, std::move(fd), std::move(endpoint), std::move(first_bytes),
                                           [this](Status status) { ended(std::move(status)); });
    expect_heartbeat();
  }

  // ---- Tunnel: any thread
  const std::string& node_id() const override { return node_id_; }
  void dial(DialOrder order) override {
    mezite::v1::ToAgent message;
    auto* dial = message.mutable_dial();
    dial->set_token(order.token);
    dial->set_client_address(order.client_address);
    dial->set_least_revision(order.least_revision);
    dial->set_user(order.user);
    post(std::move(message));
  }
  void refresh(std::int64_t revision) override {
    mezite::v1::ToAgent message;
    message.mutable_refresh()->set_revision(revision);
    post(std::move(message));
  }
  void disconnect(std::string reason) override {
    shard_.post([self = shared_from_this(), reason = std::move(reason)] { self->end(reason); });
  }

  // ---- ssh::ServerHandler
  void on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) override {
    if (request.method != ssh::AuthMethod::kPublicKey || !request.certificate) {
      reject(request.user, "no_certificate", "an agent proves itself by its host certificate");
      return responder.reject();
    }
    const ssh::Certificate& certificate = *request.certificate;
    auto cas = context_.services.authority->trust_bundle().host_cas;
    ssh::CertificateCheck check;
    check.type = ssh::CertificateType::kHost;
    check.trusted_cas = cas;
    check.now = context_.services.clock.now();
    check.principal = request.user;
    check.cache = &context_.signatures;
    if (auto verified = ssh::verify_certificate(certificate, check); !verified) {
      reject(request.user, ssh::certificate_refusal_name(verified.error().reason), verified.error().message);
      return responder.reject();
    }
    // A node may have another's id for its *name*: what counts is the key id and the first principal.
    if (certificate.key_id() != request.user || certificate.valid_principals().front() != request.user) {
      reject(request.user, "foreign_id",
             fmt::format("node {} claimed to be {}", printable(certificate.key_id()), printable(request.user)));
      return responder.reject();
    }
    if (request.proof == ssh::KeyProof::kOffered) return responder.accept();
    look_up(request.user, std::move(responder));
  }
  void on_auth_refused(const ssh::AuthRequest& request, std::string_view why) override {
    reject(request.user, "authentication", std::string(why));
  }
  void on_authenticated(const ssh::PeerIdentity&) override {
    pass_.release();
    half_.reset();
    log::debug("agent authenticated", {{"node", node_name_}, {"peer", peer_.text()}});
  }
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) override;
  void on_closed(const Error& error) override { why_ = error.message; }

  // ---- the control channel
  void on_control_open(ssh::Channel channel) {
    channel_ = std::move(channel);
    flush();
  }
  void on_control_data(BytesView data) {
    channel_.consumed(data.size());
    Status read = frames_.feed(data, [this](BytesView frame) { return on_frame(frame); });
    if (!read) end(read.error().message);
  }
  void on_control_closed() {
    if (!over_) end("the control channel was closed");
  }
  void flush() {
    if (output_.empty()) return;
    std::size_t sent = channel_.write(output_);
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(sent));
    if (output_.size() > kMaxOutput) end("the agent does not read its control channel");
  }

 private:
  void look_up(std::string id, ssh::AuthResponder responder) {
    auto work = [services = &context_.services, id] { return services->identity->nodes.get_by_id(id); };
    auto then = [self = shared_from_this(), id, responder = std::move(responder)](Result<identity::Node> node) mutable {
      if (self->over_) return;
      if (!node) {
        bool gone = node.error().code == ErrorCode::kNotFound;
        self->reject(id, gone ? "removed" : "internal", node.error().message);
        if (gone) return self->end("this node was removed from the cluster; join again with a new token");
        return responder.reject();
      }
      self->node_id_ = node->id;
      self->node_name_ = node->name;
      responder.accept();
    };
    if (!context_.services.workers.submit(shard_, std::move(work), std::move(then))) {
      log::warn("too busy to look up a node", {{"node", id}});
    }
  }

  // Once for each connection: an agent that is refused comes back every few seconds.
  void reject(const std::string& claimed, std::string_view reason, const std::string& explanation) {
    if (std::exchange(rejected_, true)) return;
    audit::Event event = audit::make_event(audit::EventKind::kNodeRejected, context_.services.clock);
    event.resource_type = "node";
    event.resource_name = claimed.substr(0, 256);
    event.client_ip = peer_.ip;
    event.error_message = explanation.substr(0, 1024);
    event.details = audit::Details().add("reason", reason).add("listener", "tunnel").text();
    log::warn("agent refused", {{"node", claimed}, {"peer", peer_.text()}, {"why", explanation}});
    context_.record(std::move(event));
  }

  Status on_frame(BytesView frame) {
    mezite::v1::ToHub message;
    if (!message.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
      return fail(ErrorCode::kProtocol, "a malformed control message");
    }
    expect_heartbeat();
    if (message.has_hello()) {
      on_hello(message.hello());
    } else if (message.has_heartbeat()) {
      identity::NodeReport report;
      report.node_id = node_id_;
      report.at = context_.services.clock.now();
      if (!message.heartbeat().labels().empty()) report.labels = labels_of(message.heartbeat().labels());
      bool news = message.heartbeat().has_cas() && put_cas(message.heartbeat().cas(), report);
      reports_.add(std::move(report));
      if (news) reports_.flush();
      const auto& waiting = message.heartbeat().recordings();
      context_.services.backlogs.put(node_id_, {.node_name = node_name_,
                                                .files = waiting.files(),
                                                .bytes = waiting.bytes(),
                                                .limit_bytes = waiting.limit_bytes(),
                                                .oldest_age_ms = waiting.oldest_age_ms(),
                                                .set_aside = waiting.set_aside(),
                                                .upload_failures = waiting.upload_failures()});
    } else if (message.has_dial_failed()) {
      context_.router.failed(message.dial_failed().token(), node_id_, message.dial_failed().error());
    }
    return {};  // a message of a later version: passed over
  }

  void on_hello(const mezite::v1::Hello& hello) {
    identity::NodeReport report;
    report.node_id = node_id_;
    report.at = context_.services.clock.now();
    report.hostname = printable(hello.hostname().substr(0, 255));
    report.version = printable(hello.version().substr(0, 64));
    report.labels = labels_of(hello.labels());
    report.enhanced_recording = printable(hello.enhanced_recording().substr(0, 256));
    if (hello.has_cas()) put_cas(hello.cas(), report);
    reports_.add(std::move(report));
    reports_.flush();
    if (std::exchange(registered_, true)) return;
    if (auto before = context_.tunnels.put(shared_from_this())) before->disconnect("a newer connection took its place");
    reports_.connected(shard_, node_id_, node_name_, peer_.ip);
    log::info("agent connected",
              {{"node", node_name_}, {"id", node_id_}, {"peer", peer_.text()}, {"version", hello.version()}});
  }

  // Whether it says something that it has not said on this connection.
  bool put_cas(const mezite::v1::CaReport& cas, identity::NodeReport& report) {
    auto list = [](const auto& field) { return std::vector<std::string>(field.begin(), field.end()); };
    auth::CaReport read{.revision = cas.revision(),
                        .user = list(cas.user()),
                        .host = list(cas.host()),
                        .spiffe = list(cas.spiffe()),
                        .ssh_signer = cas.ssh_signer(),
                        .x509_signer = cas.x509_signer()};
    std::string text = auth::to_json(read);
    if (text == cas_) return false;
    cas_ = text;
    report.ca_report = std::move(text);
    report.host_cert_signer_fingerprint = printable(cas.ssh_signer().substr(0, 64));
    return true;
  }

  void expect_heartbeat() {
    shard_.cancel(silence_);
    silence_ = shard_.after(kHeartbeatTimeout, [this] {
      silence_ = net::TimerId::kNone;
      end("no heartbeat for 30 seconds");
    });
  }

  void post(mezite::v1::ToAgent message) {
    auto frame = make_frame(message.SerializeAsString());
    shard_.post([self = shared_from_this(), frame = std::move(frame)] {
      if (self->over_) return;
      self->output_.insert(self->output_.end(), frame.begin(), frame.end());
      self->flush();
    });
  }

  void end(const std::string& reason) {
    if (over_) return;
    why_ = reason;
    endpoint_->disconnect(reason);
    link_->close();
  }

  void ended(Status status) {
    over_ = true;
    half_.reset();
    shard_.cancel(silence_);
    if (why_.empty()) why_ = status ? "the agent closed the connection" : status.error().message;
    if (registered_ && context_.tunnels.remove(*this)) {
      context_.services.backlogs.remove(node_id_);
      log::warn("agent disconnected", {{"node", node_name_}, {"id", node_id_}, {"why", why_}});
      reports_.lost(shard_, node_id_, node_name_, peer_.ip, why_);
    }
    // What belongs to this thread goes now: the last reference may be another thread's.
    channel_ = {};
    endpoint_ = nullptr;
    link_.reset();
    context_.live.remove(live_);
  }

  Context& context_;
  NodeReports& reports_;
  net::Shard& shard_;
  net::Address peer_;
  net::Admission::Pass pass_;
  std::shared_ptr<HalfOpen> half_;  // until it has authenticated
  LiveSet::Id live_ = 0;
  ssh::ServerEndpoint* endpoint_ = nullptr;  // of link_
  std::unique_ptr<net::SshLink> link_;
  std::string node_id_;  // set before registered_
  std::string node_name_;
  ssh::Channel channel_;
  bool has_channel_ = false;
  FrameReader frames_;
  Bytes output_;
  net::TimerId silence_{};
  std::string cas_;  // what it said last of the CAs
  std::string why_;
  bool rejected_ = false;
  bool registered_ = false;
  bool over_ = false;
};

namespace {

class ControlChannel final : public ssh::ChannelHandler {
 public:
  explicit ControlChannel(std::weak_ptr<AgentConnection> owner) : owner_(std::move(owner)) {}
  void on_open(ssh::Channel channel) override {
    if (auto owner = owner_.lock()) owner->on_control_open(std::move(channel));
  }
  void on_data(BytesView data, ssh::DataKind) override {
    if (auto owner = owner_.lock()) owner->on_control_data(data);
  }
  void on_writable() override {
    if (auto owner = owner_.lock()) owner->flush();
  }
  void on_eof() override { on_closed(); }
  void on_closed() override {
    if (auto owner = owner_.lock()) owner->on_control_closed();
  }

 private:
  std::weak_ptr<AgentConnection> owner_;
};

}  // namespace

void AgentConnection::on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) {
  if (ssh::channel_type(open) != kControlChannel || std::exchange(has_channel_, true)) {
    return responder.reject(ssh::OpenFailure::kAdministrativelyProhibited, "one control channel is all there is here");
  }
  responder.accept(std::make_shared<ControlChannel>(weak_from_this()));
}

void serve_tunnel(Context& context, NodeReports& reports, net::Shard& shard, UniqueFd fd, net::Address peer) {
  auto half = std::make_shared<HalfOpen>();
  auto pass = admit(context.tunnel_admission, shard, peer, half);
  if (!pass) return log::debug("tunnel connection refused", {{"peer", peer.text()}, {"why", pass.error()}});
  auto decide = [](BytesView bytes) {
    std::string_view text = as_text(bytes);
    bool ssh = text.starts_with("SSH-");
    bool other = !std::string_view("SSH-").starts_with(text.substr(0, 4)) &&
                 !kDialPreface.starts_with(text.substr(0, kDialPreface.size()));
    bool whole = text.find('\n') != std::string_view::npos;
    return ssh || other || whole ? net::FirstBytesVerdict::kEnough : net::FirstBytesVerdict::kMore;
  };
  half->end = net::read_first_bytes(
      shard, std::move(fd), kMaxPreface, kPrefaceTimeout, decide,
      [&context, &reports, &shard, peer, pass = std::move(*pass), half](Result<net::FirstBytes> got) mutable {
        half->end = nullptr;
        if (!got) return log::debug("tunnel connection closed", {{"peer", peer.text()}, {"why", got.error()}});
        std::string_view text = as_text(got->bytes);
        if (text.starts_with("SSH-")) {
          auto agent =
              std::make_shared<AgentConnection>(context, reports, shard, std::move(peer), std::move(pass), half);
          return agent->start(std::move(got->fd), std::move(got->bytes));
        }
        std::size_t line = text.find('\n');
        if (!text.starts_with(kDialPreface) || line == std::string_view::npos) return;  // closes
        std::string token(text.substr(kDialPreface.size(), line - kDialPreface.size()));
        Bytes rest = to_bytes(text.substr(line + 1));
        if (context.router.arrived(token, std::move(got->fd), std::move(rest))) return;
        deny(context,
             {.kind = audit::EventKind::kAccessDeniedTicket,
              .reason = "dial_token",
              .explanation = "a data connection came with a dial token that is unknown, used or expired"},
             peer.ip, "tunnel");
      });
}

}  // namespace mezite::proxy
