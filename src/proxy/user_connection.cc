#include "proxy/user_connection.hh"

#include <algorithm>

#include "base/log.hh"
#include "base/text.hh"
#include "identity/names.hh"

namespace mezite::proxy {
namespace {

constexpr std::string_view kListener = "ssh";
constexpr unsigned kMaxRefusals = 10;  // channels and requests; then the connection ends

constexpr std::string_view kNodesOnly =
    "this port leads to nodes only: use ssh -J USER@HUB:3023 LOGIN@NODE, or msh ssh LOGIN@NODE";

bool is_node_port(std::uint32_t port) { return port == 22 || port == 0 || port == 3022; }

}  // namespace

UserConnection::UserConnection(Context& context, net::Shard& shard, net::Address peer, net::Admission::Pass pass,
                               std::shared_ptr<HalfOpen> half)
    : context_(context), shard_(shard), peer_(std::move(peer)), pass_(std::move(pass)), half_(std::move(half)) {}

UserConnection::~UserConnection() = default;

void UserConnection::start(UniqueFd fd, Bytes first_bytes) {
  live_ = context_.live.add(shard_, LiveKind::kConnection, shared_from_this(), [this] { end("the hub is stopping"); });
  half_->end = [this] { link_->abort({ErrorCode::kUnavailable, "too many connections are being set up"}); };
  auto endpoint = std::make_unique<ssh::ServerEndpoint>(context_.front_config(), *this, context_.services.clock);
  endpoint_ = endpoint.get();
  link_ = std::make_unique<net::SshLink>(shard_, std::move(fd), std::move(endpoint), std::move(first_bytes),
                                         [this](Status) {
                                           over_ = true;
                                           half_.reset();
                                           context_.live.remove(live_);
                                         });
}

// ---- authentication: certificates of the User CA, whose key id is the user name

void UserConnection::on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) {
  if (request.method != ssh::AuthMethod::kPublicKey) return responder.reject();
  if (!request.certificate) {
    // Clients offer every key that they have. That is told only of those that have nothing better.
    note_unless_admitted({.kind = audit::EventKind::kAccessDeniedKey,
                          .reason = "no_certificate",
                          .explanation = "a plain key was offered; only user certificates of the cluster count",
                          .user = request.user});
    return responder.reject();
  }
  const ssh::Certificate& certificate = *request.certificate;
  if (request.proof == ssh::KeyProof::kProven) return admit(request, std::move(responder));
  // Anybody can show a certificate. One of our CA is asked to prove its key, so that what the audit log then says of
  // its user is true; any other can't get in, whatever it proves.
  auto cas = context_.services.authority->trust_bundle().user_cas;
  if (std::ranges::find(cas, certificate.signature_key()) != cas.end()) return responder.accept();
  ssh::CertificateRefusal refusal;
  refusal.reason = ssh::CertificateRefusalReason::kUnknownCa;
  note_unless_admitted(denial_of_certificate(refusal, certificate));
  responder.reject();
}

void UserConnection::admit(const ssh::AuthRequest& request, ssh::AuthResponder responder) {
  const ssh::Certificate& certificate = *request.certificate;
  auto cas = context_.services.authority->trust_bundle().user_cas;
  ssh::CertificateCheck check;
  check.type = ssh::CertificateType::kUser;
  check.trusted_cas = cas;
  check.now = context_.services.clock.now();
  check.source_address = peer_.ip;
  check.cache = &context_.signatures;
  if (auto verified = ssh::verify_certificate(certificate, check); !verified) {
    Denial denial = denial_of_certificate(verified.error(), certificate);
    if (verified.error().reason == ssh::CertificateRefusalReason::kUnknownCa) {
      note_unless_admitted(std::move(denial));
      return responder.reject();
    }
    refuse_for_good(std::move(denial));
    return responder.reject();
  }
  Denial denial{.kind = audit::EventKind::kAccessDeniedCertificate, .user = certificate.key_id()};
  if (context_.services.revocations->is_revoked(certificate)) {
    denial.kind = audit::EventKind::kAccessDeniedRevoked;
    denial.reason = "revoked";
    denial.explanation = fmt::format("the certificate of {} with serial number {} was revoked",
                                     printable(certificate.key_id()), certificate.serial());
    denial.user_text = "this certificate was revoked; log in again: msh login";
    refuse_for_good(std::move(denial));
    return responder.reject();
  }
  auto visitor = visitor_of_certificate(certificate);
  if (!visitor || certificate.find_critical_option("force-command") != nullptr) {
    denial.reason = visitor ? "force_command" : "malformed";
    denial.explanation = visitor ? "the certificate is bound to a command" : visitor.error().message;
    refuse_for_good(std::move(denial));
    return responder.reject();
  }
  denial.roles = visitor->role_names;
  if (certificate.key_id() != request.user) {
    denial.kind = audit::EventKind::kAccessDeniedWrongPrincipal;
    denial.reason = "user_name";
    denial.explanation = fmt::format("'{}' tried to enter under the name '{}'", printable(certificate.key_id()),
                                     printable(request.user));
    denial.user_text =
        "the user name before the hub must be your own: ssh -J " + printable(certificate.key_id()) + "@HUB";
    refuse_for_good(std::move(denial));
    return responder.reject();
  }
  auto work = [services = &context_.services, visitor = *visitor] { return check_user(*services, visitor); };
  auto then = [weak = weak_from_this(), visitor = *visitor,
               responder = std::move(responder)](Result<std::optional<Denial>> checked) mutable {
    auto self = weak.lock();
    if (!self || self->over_) return;
    if (!checked) {
      log::error("a user could not be looked up", {{"user", visitor.user}, {"error", checked.error()}});
      return responder.reject();
    }
    if (*checked) {
      self->refuse_for_good(std::move(**checked));
      return responder.reject();
    }
    self->visitor_ = std::move(visitor);
    responder.accept();
  };
  if (!context_.services.workers.submit(shard_, std::move(work), std::move(then))) {
    log::warn("too busy to look up a user", {{"peer", peer_.text()}});
    end("the hub is too busy; try again in a moment");
  }
}

void UserConnection::on_auth_refused(const ssh::AuthRequest& request, std::string_view why) {
  note_unless_admitted({.kind = audit::EventKind::kAccessDeniedCertificate,
                        .reason = "authentication",
                        .explanation = std::string(why),
                        .user = request.certificate ? request.certificate->key_id() : request.user});
}

void UserConnection::on_authenticated(const ssh::PeerIdentity&) {
  pass_.release();
  half_.reset();
  if (!visitor_) return end("internal error");
  admitted_ = true;
  unadmitted_.reset();
  log::debug("user connected", {{"user", visitor_->user}, {"peer", peer_.text()}});
}

// The key has been proven: another would not help, and a disconnect's text is the one message that clients show at
// every log level.
void UserConnection::refuse_for_good(Denial denial) {
  told_ = true;
  end(deny(context_, denial, peer_.ip, kListener));
}

void UserConnection::note_unless_admitted(Denial denial) {
  // The first certificate says more than the plain keys around it.
  if (unadmitted_ && unadmitted_->kind != audit::EventKind::kAccessDeniedKey) return;
  unadmitted_ = std::move(denial);
}

void UserConnection::on_closed(const Error& error) {
  if (!admitted_ && !told_ && unadmitted_) deny(context_, *unadmitted_, peer_.ip, kListener);
  if (admitted_) log::debug("user disconnected", {{"user", visitor_->user}, {"why", error}});
}

// ---- channels: direct-tcpip to a node's name

void UserConnection::on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) {
  if (!admitted_) return;
  if (const auto* forward = std::get_if<ssh::DirectTcpipOpen>(&open)) return open_node(*forward, std::move(responder));
  refuse_channel(
      {.kind = audit::EventKind::kAccessDeniedChannelType,
       .reason = "channel_type",
       .explanation = fmt::format("a channel of type '{}' was asked for", printable(ssh::channel_type(open))),
       .user_text = std::string(kNodesOnly)},
      std::move(responder));
}

void UserConnection::on_global_request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder) {
  responder.reject();
  if (!admitted_ || !std::holds_alternative<ssh::TcpipForwardRequest>(request)) return;
  deny(context_,
       {.kind = audit::EventKind::kAccessDeniedChannelType,
        .reason = "remote_forward",
        .explanation = "listening on the hub was asked for (tcpip-forward)",
        .user = visitor_->user,
        .roles = visitor_->role_names},
       peer_.ip, kListener);
  if (++refusals_ >= kMaxRefusals) end("too many refused requests");
}

void UserConnection::refuse_channel(Denial denial, ssh::ChannelOpenResponder responder) {
  denial.user = visitor_->user;
  denial.roles = visitor_->role_names;
  bool unreachable = denial.kind == audit::EventKind::kAccessDeniedUnreachable;
  responder.reject(unreachable ? ssh::OpenFailure::kConnectFailed : ssh::OpenFailure::kAdministrativelyProhibited,
                   deny(context_, denial, peer_.ip, kListener));
  if (++refusals_ >= kMaxRefusals) end("too many refused channels");
}

void UserConnection::open_node(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder) {
  std::string_view name = plain_node_name(context_.services, open.host);
  if (!is_node_port(open.port) || !identity::check_node_name(name)) {
    return refuse_channel(
        {.kind = audit::EventKind::kAccessDeniedChannelType,
         .reason = "address",
         .explanation = fmt::format("{}:{} was asked for, which is no node", printable(open.host), open.port),
         .user_text = std::string(kNodesOnly),
         .node_name = open.host},
        std::move(responder));
  }
  auto work = [services = &context_.services, visitor = *visitor_, name = open.host, from = peer_.text()] {
    return reach_node(*services, visitor, name, from);
  };
  auto then = [weak = weak_from_this(), responder = std::move(responder)](Result<Reach> reach) mutable {
    auto self = weak.lock();
    if (!self || self->over_) return;
    if (!reach) {
      log::error("an access decision failed", {{"user", self->visitor_->user}, {"error", reach.error()}});
      return responder.reject(ssh::OpenFailure::kResourceShortage, "the hub could not decide; try again in a moment");
    }
    if (auto* denial = std::get_if<Denial>(&*reach)) {
      return self->refuse_channel(std::move(*denial), std::move(responder));
    }
    self->connect(std::get<DialTarget>(std::move(*reach)), std::move(responder));
  };
  if (!context_.services.workers.submit(shard_, std::move(work), std::move(then))) {
    log::warn("too busy for an access decision", {{"user", visitor_->user}});
  }
}

void UserConnection::connect(DialTarget target, ssh::ChannelOpenResponder responder) {
  if (context_.draining) {
    return responder.reject(ssh::OpenFailure::kResourceShortage, "the hub is about to restart; try again in a moment");
  }
  Denial denial{.kind = audit::EventKind::kAccessDeniedUnreachable,
                .reason = "unreachable",
                .node_name = target.node_name,
                .node_id = target.node_id};
  auto then = [weak = weak_from_this(), denial, responder = std::move(responder)](Result<Dialed> dialed) mutable {
    auto self = weak.lock();
    if (!self || self->over_) return;
    if (!dialed) {
      denial.explanation = denial.user_text = dialed.error().message;
      return self->refuse_channel(std::move(denial), std::move(responder));
    }
    Context& context = self->context_;
    auto id = std::make_shared<LiveSet::Id>(0);
    auto relay = net::ChannelRelay::make(
        self->shard_, std::move(dialed->fd), {.first_to_channel = std::move(dialed->first_bytes)},
        [&context, id, user = self->visitor_->user, node = denial.node_name](net::RelayEnd end) {
          log::debug("connection ended", {{"user", user},
                                          {"node", node},
                                          {"to_node_bytes", end.a_to_b_bytes},
                                          {"from_node_bytes", end.b_to_a_bytes},
                                          {"why", end.status ? std::string() : end.status.error().message}});
          context.live.remove(*id);
        });
    *id = context.live.add(self->shard_, LiveKind::kCarrying, relay, [relay = std::weak_ptr(relay)] {
      if (auto running = relay.lock()) running->stop({ErrorCode::kUnavailable, "the hub is stopping"});
    });
    log::debug("user reached a node", {{"user", self->visitor_->user}, {"node", denial.node_name}});
    // A connection that has ended takes no channel, and its relay hears of nothing.
    if (responder.accept(relay) == ssh::Channel()) relay->stop({ErrorCode::kUnavailable, "the user has gone"});
  };
  context_.router.dial(shard_, std::move(target), std::move(then));
}

void UserConnection::end(std::string_view text) {
  if (over_) return;
  endpoint_->disconnect(text);
  link_->close();
}

}  // namespace mezite::proxy
