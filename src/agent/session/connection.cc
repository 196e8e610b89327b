#include "agent/session/connection.hh"

#include <algorithm>

#include "agent/session/session_channel.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/channel_relay.hh"
#include "net/connect.hh"

namespace mezite::agent {
namespace {

using audit::EventKind;

constexpr std::chrono::seconds kForwardConnectLimit{15};
constexpr std::chrono::minutes kForwardIdleLimit{60};
// The endpoint itself stops reading at 2 MiB of output. Less here would stop the link in a key exchange that channels
// have filled the output in, and the messages that end it would never be read.
constexpr std::size_t kLinkHighWaterBytes = 8 << 20;
constexpr unsigned kMaxDeniedChannels = 20;  // each is an audit event; then the connection ends

bool is_trusted(const std::vector<ssh::PublicKey>& cas, const ssh::PublicKey& key) {
  return std::find(cas.begin(), cas.end(), key) != cas.end();
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerContext> context, net::Shard& shard, net::Address client)
    : id_(context->next_connection_id()), context_(std::move(context)), shard_(shard), client_(std::move(client)) {}

Connection::~Connection() {
  shard_.cancel(expiry_);
  shard_.cancel(idle_);
}

void Connection::start(UniqueFd fd, Bytes first_bytes) {
  server_address_ = net::local_address(fd.get());
  auto endpoint = std::make_unique<ssh::ServerEndpoint>(context_->config(), *this, *context_->options.clock);
  endpoint_ = endpoint.get();
  link_ = std::make_unique<net::SshLink>(
      shard_, std::move(fd), std::move(endpoint), std::move(first_bytes),
      [context = context_, id = id_](Status) { context->remove(id); },
      net::SshLinkOptions{.high_water = kLinkHighWaterBytes});
}

// ---- authentication

void Connection::on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) {
  if (request.method != ssh::AuthMethod::kPublicKey) return responder.reject();
  if (!request.certificate) {
    // Clients offer every key that they have; only one event tells of it.
    note_once({.kind = EventKind::kAccessDeniedKey,
               .reason = "no_certificate",
               .explanation = "a plain key was offered; only user certificates of the cluster count"},
              request.user);
    return responder.reject();
  }
  admit_certificate(request, std::move(responder));
}

void Connection::admit_certificate(const ssh::AuthRequest& request, ssh::AuthResponder responder) {
  std::shared_ptr<const Snapshot> snapshot = context_->options.snapshots->current();
  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
  const ssh::Certificate& certificate = *request.certificate;
  if (request.proof == ssh::KeyProof::kOffered) {
    // Anybody can show a certificate. One of our CA is asked to prove its key, so that what the audit log then says of
    // its user is true; any other can't get in, whatever it proves.
    if (is_trusted(snapshot->user_cas, certificate.signature_key())) return responder.accept();
    note_once({.kind = EventKind::kAccessDeniedForeignCa,
               .reason = "unknown_ca",
               .explanation = fmt::format("the certificate of key id '{}' was signed by an unknown CA, {}",
                                          printable(certificate.key_id()), certificate.signature_key().fingerprint()),
               .user = certificate.key_id()},
              request.user);
    return responder.reject();
  }
  Admission admission = admit({.certificate = certificate,
                               .login = request.user,
                               .client_ip = client_.ip,
                               .now = context_->options.clock->now()},
                              *snapshot, *node, &context_->signatures);
  if (!admission.principal) {
    deny(admission.denial, request.user);
    return responder.reject();
  }
  look_up_login(std::move(*admission.principal), request.peer_software, std::move(responder));
}

void Connection::look_up_login(Principal principal, std::string client_software, ssh::AuthResponder responder) {
  auto visitor = std::make_shared<Visitor>();
  visitor->principal = std::move(principal);
  visitor->client = client_;
  visitor->server = server_address_;
  visitor->client_software = std::move(client_software);
  auto work = [visitor]() -> Status {
    MEZ_TRY(visitor->login_user, find_login_user(visitor->principal.login));
    return may_become(visitor->login_user);
  };
  auto then = [weak = weak_from_this(), visitor, responder = std::move(responder)](Status found) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    if (!found) {
      self->deny({.kind = EventKind::kAccessDeniedNoAccount,
                  .reason = "no_account",
                  .explanation = found.error().message,
                  .user_text = "access denied",
                  .user = visitor->principal.user,
                  .roles = visitor->principal.roles},
                 visitor->principal.login);
      return responder.reject();
    }
    self->candidate_ = visitor;
    responder.accept(visitor->principal.restrictions);
  };
  if (!context_->options.workers->submit(shard_, std::move(work), std::move(then))) {
    log::warn("too busy to look up a login user", {{"login", visitor->principal.login}});
  }
}

void Connection::on_auth_refused(const ssh::AuthRequest& request, std::string_view why) {
  note_once({.kind = EventKind::kAccessDeniedCertificate,
             .reason = "authentication",
             .explanation = std::string(why),
             .user = request.certificate ? request.certificate->key_id() : std::string()},
            request.user);
}

void Connection::deny(const Denial& denial, std::string_view login) {
  noted_ = true;
  audit::Event event =
      denial_event(denial, *context_->options.node->current(), login, client_.ip, *context_->options.clock);
  log::info("access denied", {{"event", event.id},
                              {"user", denial.user},
                              {"login", login},
                              {"client", client_.text()},
                              {"reason", denial.reason}});
  std::string text = fmt::format("{} (event {})", denial.user_text, event.id);
  context_->emit({std::move(event)});
  // The one message that clients show at every log level. Another key would not help: this one has been proven.
  endpoint_->disconnect(text);
}

void Connection::note_once(const Denial& denial, std::string_view login) {
  if (noted_) return;
  noted_ = true;
  context_->emit(
      {denial_event(denial, *context_->options.node->current(), login, client_.ip, *context_->options.clock)});
}

void Connection::on_authenticated(const ssh::PeerIdentity& identity) {
  if (!candidate_) return end("internal error");
  candidate_->principal.restrictions = identity.restrictions;
  visitor_ = std::move(candidate_);
  candidate_.reset();
  const Principal& principal = visitor_->principal;
  log::info("user connected", {{"user", principal.user}, {"login", principal.login}, {"client", client_.text()}});
  watch_expiry();
  last_forward_ = shard_.now();
  watch_idle();
}

// ---- channels

void Connection::on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) {
  if (!visitor_) return;
  if (std::holds_alternative<ssh::SessionOpen>(open)) return open_session(std::move(responder));
  if (const auto* forward = std::get_if<ssh::DirectTcpipOpen>(&open)) {
    return open_forward(*forward, std::move(responder));
  }
  responder.reject(ssh::OpenFailure::kUnknownChannelType, "this node takes sessions and direct-tcpip only");
}

void Connection::refuse_channel(const Denial& denial, ssh::ChannelOpenResponder responder) {
  const Principal& principal = visitor_->principal;
  Denial full = denial;
  full.user = principal.user;
  full.roles = principal.roles;
  audit::Event event =
      denial_event(full, *context_->options.node->current(), principal.login, client_.ip, *context_->options.clock);
  responder.reject(ssh::OpenFailure::kAdministrativelyProhibited,
                   fmt::format("{} (event {})", denial.user_text, event.id));
  context_->emit({std::move(event)});
  if (++denied_channels_ >= kMaxDeniedChannels) end("too many refused channels");
}

void Connection::open_session(ssh::ChannelOpenResponder responder) {
  const Principal& principal = visitor_->principal;
  ServerContext::SessionPass pass = context_->enter_session(principal.user, principal.options.max_sessions);
  if (!pass) {
    return refuse_channel(
        {.kind = EventKind::kAccessDeniedSessionLimit,
         .reason = "max_sessions",
         .explanation = fmt::format("the roles allow {} sessions at a time on a node", principal.options.max_sessions),
         .user_text = "access denied: too many sessions"},
        std::move(responder));
  }
  auto session = std::make_shared<SessionChannel>(context_, shard_, visitor_, std::move(pass));
  std::erase_if(sessions_, [](const std::weak_ptr<SessionChannel>& old) { return old.expired(); });
  sessions_.push_back(session);
  responder.accept(std::move(session));
}

void Connection::open_forward(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder) {
  const Principal& principal = visitor_->principal;
  net::HostPort target{open.host, static_cast<std::uint16_t>(open.port)};
  if (!principal.restrictions.port_forwarding) {
    return refuse_channel({.kind = EventKind::kAccessDeniedForwarding,
                           .reason = "port_forwarding",
                           .explanation = fmt::format("forwarding to {} is not allowed by the roles or the certificate",
                                                      printable(target.text())),
                           .user_text = "port forwarding is not allowed"},
                          std::move(responder));
  }
  if (open.port == 0 || open.port > 65535 || open.host.empty()) {
    return responder.reject(ssh::OpenFailure::kConnectFailed, "there is no such address");
  }
  last_forward_ = shard_.now();
  auto then = [weak = weak_from_this(), target, responder = std::move(responder),
               count = forwards_](Result<net::Connected> connected) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    audit::Event event = user_event(connected ? EventKind::kPortForward : EventKind::kPortForwardFailed,
                                    *self->context_->options.node->current(), self->visitor_->principal,
                                    self->client_.ip, *self->context_->options.clock);
    event.details = audit::Details().add("login", self->visitor_->principal.login).add("target", target.text()).text();
    if (!connected) {
      event.error_message = connected.error().message;
      self->context_->emit({std::move(event)});
      return responder.reject(ssh::OpenFailure::kConnectFailed, printable(connected.error().message));
    }
    self->context_->emit({std::move(event)});
    responder.accept(net::ChannelRelay::make(self->shard_, std::move(connected->fd),
                                             {.first_to_channel = {}, .idle_timeout = kForwardIdleLimit},
                                             [weak, count = std::move(count)](net::RelayEnd) {
                                               if (auto owner = weak.lock()) owner->last_forward_ = owner->shard_.now();
                                             }));
  };
  net::async_connect(shard_, *context_->options.workers, target, kForwardConnectLimit, std::move(then));
}

// ---- what ends it

void Connection::end(std::string_view text) {
  if (closed_ || !endpoint_) return;
  for (const std::weak_ptr<SessionChannel>& weak : sessions_) {
    if (auto session = weak.lock()) session->force_end(text);
  }
  if (!closed_) endpoint_->disconnect(text);
}

void Connection::recheck() {
  if (closed_ || !visitor_) return;
  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
  std::optional<Denial> denial = still_admitted(visitor_->principal, *context_->options.snapshots->current(), *node,
                                                context_->options.clock->now());
  if (!denial) return;
  audit::Event event = denial_event(*denial, *node, visitor_->principal.login, client_.ip, *context_->options.clock);
  std::string text = fmt::format("your session was ended: {} (event {})", denial->user_text, event.id);
  context_->emit({std::move(event)});
  end(text);
}

void Connection::terminate(std::string_view session_id, std::string_view reason) {
  if (closed_) return;
  if (session_id.empty()) return end(reason);
  for (const std::weak_ptr<SessionChannel>& weak : sessions_) {
    auto session = weak.lock();
    if (session && session->session_id() == session_id) session->force_end(reason);
  }
}

void Connection::watch_expiry() {
  const Principal& principal = visitor_->principal;
  if (!principal.options.disconnect_expired_cert || principal.valid_before == SystemTime::max()) return;
  // A bounded step at a time, as the wall clock may be set in between.
  SystemTime now = context_->options.clock->now();
  if (now >= principal.valid_before) return end("ssh: certificate expired; run `msh login` for a new one");
  auto step = std::min<std::chrono::nanoseconds>(principal.valid_before - now, std::chrono::minutes(1));
  expiry_ = shard_.after(step, [this] { watch_expiry(); });
}

void Connection::watch_idle() {
  std::chrono::milliseconds limit = visitor_->principal.options.client_idle_timeout;
  if (limit.count() == 0) return;
  SteadyTime last = last_forward_;
  bool forwarding = forwards_.use_count() > 1;
  if (forwarding) last = shard_.now();  // forwarded connections have a limit of their own
  for (const std::weak_ptr<SessionChannel>& weak : sessions_) {
    if (auto session = weak.lock()) last = std::max(last, session->last_activity());
  }
  auto left = limit - (shard_.now() - last);
  if (left <= std::chrono::nanoseconds(0)) {
    return end(fmt::format("the session was idle for {}", format_duration(limit)));
  }
  idle_ =
      shard_.after(std::max<std::chrono::nanoseconds>(left, std::chrono::milliseconds(100)), [this] { watch_idle(); });
}

void Connection::on_closed(const Error& error) {
  closed_ = true;
  shard_.cancel(expiry_);
  shard_.cancel(idle_);
  if (visitor_) {
    log::info("user disconnected", {{"user", visitor_->principal.user},
                                    {"login", visitor_->principal.login},
                                    {"client", client_.text()},
                                    {"cause", error}});
  }
}

}  // namespace mezite::agent
