#include "agent/session/connection.hh"

#include <algorithm>

#include "agent/session/session_channel.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

using audit::EventKind;

constexpr unsigned kMaxDenials = 20;  // each is an audit event; then the connection ends
constexpr std::size_t kMaxNotices = 8;

bool is_trusted(const std::vector<ssh::PublicKey>& cas, const ssh::PublicKey& key) {
  return std::find(cas.begin(), cas.end(), key) != cas.end();
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerContext> context, net::Shard& shard, net::Address client)
    : id_(context->next_connection_id()), context_(std::move(context)), shard_(shard), client_(std::move(client)) {}

Connection::~Connection() {
  if (forwards_) forwards_->close();
  shard_.cancel(expiry_);
  shard_.cancel(idle_);
}

void Connection::start(UniqueFd fd, Bytes first_bytes) {
  server_address_ = net::local_address(fd.get());
  auto endpoint = std::make_unique<ssh::ServerEndpoint>(context_->config(), *this, *context_->options.clock);
  endpoint_ = endpoint.get();
  link_ = std::make_unique<net::SshLink>(shard_, std::move(fd), std::move(endpoint), std::move(first_bytes),
                                         [context = context_, id = id_](Status) { context->remove(id); });
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
  looked_at_ = snapshot;
  looked_at_node_ = node;
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
  forwards_ = std::make_shared<Forwards>(
      context_, shard_, visitor_,
      [this](const ssh::ChannelOpen& open, std::shared_ptr<ssh::ChannelHandler> handler) {
        endpoint_->open_channel(open, std::move(handler));
      },
      [this](std::string text) { notice(std::move(text)); });
  const Principal& principal = visitor_->principal;
  log::info("user connected", {{"user", principal.user}, {"login", principal.login}, {"client", client_.text()}});
  watch_expiry();
  last_forward_ = shard_.now();
  watch_idle();
}

// ---- what may be opened

std::optional<Denial> Connection::look_again() {
  std::shared_ptr<const Snapshot> snapshot = context_->options.snapshots->current();
  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
  SystemTime now = context_->options.clock->now();
  Reconsidered again = reconsider(visitor_->principal, *snapshot, *node, now);
  if (again.denial) return again.denial;
  looked_at_ = std::move(snapshot);
  looked_at_node_ = std::move(node);
  if (again.principal == visitor_->principal) return std::nullopt;
  // What is running keeps what it was given; what forwards goes with the right to it.
  auto changed = std::make_shared<Visitor>(*visitor_);
  changed->principal = std::move(again.principal);
  visitor_ = std::move(changed);
  forwards_->keep(visitor_->principal.restrictions);
  watch_expiry();
  watch_idle();
  return std::nullopt;
}

std::optional<Denial> Connection::check(Right right, std::string_view what) {
  if (closed_ || !visitor_) return Denial{.reason = "closed", .user_text = "the connection has ended"};
  if (context_->options.clock->now() >= visitor_->principal.valid_before) {
    return Denial{.kind = EventKind::kAccessDeniedExpired,
                  .reason = "expired",
                  .explanation = fmt::format("{} after the certificate had expired", what),
                  .user_text = "ssh: certificate expired; run `msh login` for a new one"};
  }
  if (looked_at_ != context_->options.snapshots->current() || looked_at_node_ != context_->options.node->current()) {
    if (std::optional<Denial> denial = look_again()) {
      // The rest of the connection follows, once this has been answered.
      shard_.post([weak = weak_from_this()] {
        if (auto self = weak.lock()) self->recheck();
      });
      return denial;
    }
  }
  const ssh::Restrictions& allowed = visitor_->principal.restrictions;
  auto forbidden = [&](std::string_view option, std::string_view text) {
    return Denial{.kind = EventKind::kAccessDeniedForwarding,
                  .reason = std::string(option),
                  .explanation = fmt::format("{} is not allowed by the roles ({}) or the certificate", what, option),
                  .user_text = std::string(text)};
  };
  switch (right) {
    case Right::kSession: break;
    case Right::kPorts:
      if (!allowed.port_forwarding) return forbidden("port_forwarding", "port forwarding is not allowed");
      break;
    case Right::kAgent:
      if (!allowed.agent_forwarding) return forbidden("agent_forwarding", "agent forwarding is not allowed");
      break;
    case Right::kX11:
      if (!allowed.x11_forwarding) return forbidden("x11_forwarding", "X11 forwarding is not allowed");
      break;
  }
  return std::nullopt;
}

std::string Connection::note_denial(const Denial& denial, std::string_view session_id) {
  // Clients ask for the agent with every session when their configuration says so.
  if (std::find(denied_rights_.begin(), denied_rights_.end(), denial.reason) != denied_rights_.end()) {
    return denial.user_text;
  }
  denied_rights_.push_back(denial.reason);
  const Principal& principal = visitor_->principal;
  Denial full = denial;
  full.user = principal.user;
  full.roles = principal.roles;
  audit::Event event =
      denial_event(full, *context_->options.node->current(), principal.login, client_.ip, *context_->options.clock);
  event.session_id = std::string(session_id);
  std::string text = fmt::format("{} (event {})", denial.user_text, event.id);
  context_->emit({std::move(event)});
  return text;
}

void Connection::notice(std::string text) {
  if (notices_.size() < kMaxNotices) notices_.push_back(std::move(text));
}

void Connection::count_denial() {
  if (++denials_ < kMaxDenials) return;
  // Not at once: what was refused is to be answered first.
  shard_.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->end("too many refused requests");
  });
}

// ---- channels

void Connection::on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) {
  if (!visitor_) return;
  if (std::holds_alternative<ssh::SessionOpen>(open)) return open_session(std::move(responder));
  if (const auto* port = std::get_if<ssh::DirectTcpipOpen>(&open)) {
    net::HostPort target{port->host, static_cast<std::uint16_t>(port->port)};
    std::string what = fmt::format("forwarding to {}", printable(target.text()));
    if (auto denial = check(Right::kPorts, what)) return refuse_channel(*denial, std::move(responder));
    return forwards_->connect(*port, std::move(responder));
  }
  if (const auto* socket = std::get_if<ssh::DirectStreamlocalOpen>(&open)) {
    std::string what = fmt::format("forwarding to the socket {}", printable(socket->path));
    if (auto denial = check(Right::kPorts, what)) return refuse_channel(*denial, std::move(responder));
    return forwards_->connect(*socket, std::move(responder));
  }
  refuse_channel({.kind = EventKind::kAccessDeniedChannelType,
                  .reason = "channel_type",
                  .explanation = fmt::format("channels of type {} are not given", printable(ssh::channel_type(open))),
                  .user_text = "this node gives no such channels"},
                 std::move(responder), ssh::OpenFailure::kUnknownChannelType);
}

void Connection::on_global_request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder) {
  if (!visitor_ || std::holds_alternative<ssh::OtherGlobalRequest>(request)) return;
  std::string target;
  if (const auto* port = std::get_if<ssh::TcpipForwardRequest>(&request)) {
    target = net::HostPort{port->address, static_cast<std::uint16_t>(port->port)}.text();
  } else if (const auto* socket = std::get_if<ssh::StreamlocalForwardRequest>(&request)) {
    target = socket->path;
  } else {
    // A cancellation takes away only.
    return forwards_->request(request, std::move(responder));
  }
  auto denial = check(Right::kPorts, fmt::format("remote forwarding of {}", printable(target)));
  if (!denial) return forwards_->request(request, std::move(responder));
  const Principal& principal = visitor_->principal;
  denial->user = principal.user;
  denial->roles = principal.roles;
  audit::Event event =
      denial_event(*denial, *context_->options.node->current(), principal.login, client_.ip, *context_->options.clock);
  notice(fmt::format("remote forwarding of {}: {} (event {})", printable(target), denial->user_text, event.id));
  context_->emit({std::move(event)});
  responder.reject();
  count_denial();
}

void Connection::refuse_channel(const Denial& denial, ssh::ChannelOpenResponder responder, ssh::OpenFailure failure) {
  const Principal& principal = visitor_->principal;
  Denial full = denial;
  full.user = principal.user;
  full.roles = principal.roles;
  audit::Event event =
      denial_event(full, *context_->options.node->current(), principal.login, client_.ip, *context_->options.clock);
  responder.reject(failure, fmt::format("{} (event {})", denial.user_text, event.id));
  context_->emit({std::move(event)});
  count_denial();
}

void Connection::open_session(ssh::ChannelOpenResponder responder) {
  if (auto denial = check(Right::kSession, "a session")) return refuse_channel(*denial, std::move(responder));
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
  auto session = std::make_shared<SessionChannel>(context_, shard_, weak_from_this(), std::move(pass));
  std::erase_if(sessions_, [](const std::weak_ptr<SessionChannel>& old) { return old.expired(); });
  sessions_.push_back(session);
  responder.accept(std::move(session));
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
  std::optional<Denial> denial = look_again();
  if (!denial) return;
  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
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
  shard_.cancel(expiry_);
  const Principal& principal = visitor_->principal;
  if (!principal.options.disconnect_expired_cert || principal.valid_before == SystemTime::max()) return;
  // A bounded step at a time, as the wall clock may be set in between.
  SystemTime now = context_->options.clock->now();
  if (now >= principal.valid_before) return end("ssh: certificate expired; run `msh login` for a new one");
  auto step = std::min<std::chrono::nanoseconds>(principal.valid_before - now, std::chrono::minutes(1));
  expiry_ = shard_.after(step, [this] { watch_expiry(); });
}

void Connection::watch_idle() {
  shard_.cancel(idle_);
  std::chrono::milliseconds limit = visitor_->principal.options.client_idle_timeout;
  if (limit.count() == 0) return;
  // Traffic counts, whichever way and through whatever; a forwarded connection that is only there does not.
  if (std::uint64_t bytes = forwards_->bytes(); bytes != forwarded_bytes_) {
    forwarded_bytes_ = bytes;
    last_forward_ = shard_.now();
  }
  SteadyTime last = last_forward_;
  for (const std::weak_ptr<SessionChannel>& weak : sessions_) {
    if (auto session = weak.lock()) last = std::max(last, session->last_activity());
  }
  auto left = limit - (shard_.now() - last);
  if (left <= std::chrono::nanoseconds(0)) {
    return end(fmt::format("the session was idle for {}", format_duration(limit)));
  }
  // When forwarded bytes came is known only to within a step, so the steps are short.
  auto step = std::min<std::chrono::nanoseconds>(left, limit / 8);
  idle_ =
      shard_.after(std::max<std::chrono::nanoseconds>(step, std::chrono::milliseconds(50)), [this] { watch_idle(); });
}

void Connection::on_closed(const Error& error) {
  closed_ = true;
  shard_.cancel(expiry_);
  shard_.cancel(idle_);
  if (forwards_) forwards_->close();
  if (visitor_) {
    log::info("user disconnected", {{"user", visitor_->principal.user},
                                    {"login", visitor_->principal.login},
                                    {"client", client_.text()},
                                    {"cause", error}});
  }
}

}  // namespace mezite::agent
