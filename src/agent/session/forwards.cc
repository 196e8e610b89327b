#include "agent/session/forwards.hh"

#include <sys/socket.h>

#include "agent/forward/loopback.hh"
#include "agent/forward/xauth.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/connect.hh"

namespace mezite::agent {
namespace {

using audit::EventKind;

constexpr std::chrono::seconds kConnectLimit{15};
constexpr std::uint32_t kFirstDisplay = 10;  // as sshd: those below may be real ones
constexpr std::uint32_t kDisplays = 1000;
constexpr std::uint16_t kDisplayPort = 6000;
constexpr std::uint32_t kMaxScreen = 400;  // as sshd

bool is_from(int fd, uid_t uid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == uid || peer.uid == 0);
}

}  // namespace

Forwards::Forwards(std::shared_ptr<ServerContext> context, net::Shard& shard, std::shared_ptr<const Visitor> visitor,
                   OpenChannel open_channel, TellUser tell_user)
    : context_(std::move(context)),
      shard_(shard),
      visitor_(std::move(visitor)),
      open_channel_(std::move(open_channel)),
      tell_user_(std::move(tell_user)),
      helper_(std::make_shared<UserHelper>(shard_, *context_->options.workers, visitor_->login_user)) {}

Forwards::~Forwards() { close(); }

void Forwards::close() {
  if (std::exchange(closed_, true)) return;
  while (!remotes_.empty()) cancel(Key(remotes_.begin()->first));
  agent_acceptor_.reset();
  agent_waiters_.clear();
  for (const std::weak_ptr<Display>& weak : displays_) {
    if (auto display = weak.lock()) display->acceptor_.reset();
  }
  asked_.clear();
  settled_waiters_.clear();
  helper_->close();
  open_channel_ = nullptr;
  tell_user_ = nullptr;
}

void Forwards::keep(const ssh::Restrictions& allowed) {
  if (closed_) return;
  if (!allowed.port_forwarding) {
    while (!remotes_.empty()) cancel(Key(remotes_.begin()->first));
    end_kind(Kind::kPort);
  }
  if (!allowed.agent_forwarding && agent_acceptor_) {
    agent_acceptor_.reset();
    helper_->remove(std::exchange(agent_path_, {}));
    end_kind(Kind::kAgent);
  }
  if (!allowed.x11_forwarding) {
    for (const std::weak_ptr<Display>& weak : displays_) {
      if (auto display = weak.lock()) display->acceptor_.reset();
    }
    end_kind(Kind::kDisplay);
  }
}

void Forwards::end_kind(Kind kind) {
  for (const auto& [id, live] : live_) {
    if (live.kind != kind) continue;
    if (auto relay = live.relay.lock())
      relay->stop({ErrorCode::kPermissionDenied, "forwarding is not allowed any more"});
  }
}

// ---- the channels

std::uint64_t Forwards::bytes() const {
  std::uint64_t sum = ended_bytes_;
  for (const auto& [id, live] : live_) {
    if (auto relay = live.relay.lock()) sum += relay->bytes();
  }
  return sum;
}

std::shared_ptr<net::ChannelRelay> Forwards::make_relay(Kind kind, UniqueFd fd, std::shared_ptr<std::uint64_t> count) {
  const std::uint64_t id = next_live_++;
  const bool incoming = count != nullptr || kind != Kind::kPort;
  auto done = [weak = weak_from_this(), id, incoming, count = std::move(count)](net::RelayEnd end) {
    auto self = weak.lock();
    if (!self) return;
    const std::uint64_t moved = end.a_to_b_bytes + end.b_to_a_bytes;
    self->ended_bytes_ += moved;
    if (count) *count += moved;
    self->live_.erase(id);
    if (!incoming) return;
    --self->incoming_;
    self->set_paused(self->incoming_ >= kMaxIncomingChannels);
  };
  auto relay = net::ChannelRelay::make(shard_, std::move(fd), {}, std::move(done));
  live_.emplace(id, Live{kind, relay});
  if (incoming) ++incoming_;
  return relay;
}

void Forwards::open_incoming(Kind kind, const ssh::ChannelOpen& open, UniqueFd fd,
                             std::shared_ptr<std::uint64_t> count) {
  if (closed_) return;
  auto relay = make_relay(kind, std::move(fd), std::move(count));
  set_paused(incoming_ >= kMaxIncomingChannels);
  open_channel_(open, std::move(relay));
}

void Forwards::set_paused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  auto set = [paused](net::Acceptor* acceptor) {
    if (!acceptor) return;
    if (paused)
      acceptor->pause();
    else
      acceptor->resume();
  };
  for (const auto& [key, remote] : remotes_) set(remote.acceptor.get());
  set(agent_acceptor_.get());
  for (const std::weak_ptr<Display>& weak : displays_) {
    if (auto display = weak.lock()) set(display->acceptor_.get());
  }
}

// ---- audit

audit::Event Forwards::event(EventKind kind) const {
  return user_event(kind, *context_->options.node->current(), visitor_->principal, visitor_->client.ip,
                    *context_->options.clock);
}

void Forwards::tell_forward(EventKind kind, std::string_view what, const std::string& target, const Error* error) {
  audit::Event told = event(kind);
  told.details =
      audit::Details().add("login", visitor_->principal.login).add("kind", what).add("target", target).text();
  if (error) {
    told.error_message = error->message;
    told.success = false;
  }
  context_->emit({std::move(told)});
}

// ---- local forwarding: the node connects

void Forwards::connect(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder) {
  net::HostPort target{open.host, static_cast<std::uint16_t>(open.port)};
  if (closed_ || open.port == 0 || open.port > 65535 || open.host.empty()) {
    return responder.reject(ssh::OpenFailure::kConnectFailed, "there is no such address");
  }
  auto then = [weak = weak_from_this(), target,
               responder = std::move(responder)](Result<net::Connected> connected) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    const Error* error = connected ? nullptr : &connected.error();
    self->tell_forward(connected ? EventKind::kPortForward : EventKind::kPortForwardFailed, "local", target.text(),
                       error);
    if (error) return responder.reject(ssh::OpenFailure::kConnectFailed, printable(error->message));
    int on = 1;
    ::setsockopt(connected->fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    responder.accept(self->make_relay(Kind::kPort, std::move(connected->fd)));
  };
  net::async_connect(shard_, *context_->options.workers, target, kConnectLimit, std::move(then),
                     [visitor = visitor_](int family) { return socket_of(visitor->login_user, family); });
}

void Forwards::connect(const ssh::DirectStreamlocalOpen& open, ssh::ChannelOpenResponder responder) {
  auto then = [weak = weak_from_this(), path = open.path,
               responder = std::move(responder)](Result<UserHelper::Made> made) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    const Error* error = made ? nullptr : &made.error();
    self->tell_forward(made ? EventKind::kPortForward : EventKind::kPortForwardFailed, "local_socket", path, error);
    if (error) return responder.reject(ssh::OpenFailure::kConnectFailed, printable(error->message));
    responder.accept(self->make_relay(Kind::kPort, std::move(made->fd)));
  };
  if (!closed_) helper_->connect(open.path, std::move(then));
}

// ---- remote forwarding: the node listens

void Forwards::request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder) {
  if (closed_) return;
  asked_.push_back({request, std::move(responder)});
  if (!busy_) next_request();
}

void Forwards::next_request() {
  while (!asked_.empty() && !busy_ && !closed_) {
    Asked asked = std::move(asked_.front());
    asked_.pop_front();
    bool granted = false;
    if (const auto* port = std::get_if<ssh::TcpipForwardRequest>(&asked.request)) {
      add_port(*port, std::move(asked.responder));
      continue;
    }
    if (const auto* socket = std::get_if<ssh::StreamlocalForwardRequest>(&asked.request)) {
      add_socket(*socket, std::move(asked.responder));
      continue;
    }
    if (const auto* no_port = std::get_if<ssh::CancelTcpipForwardRequest>(&asked.request)) {
      granted = cancel({"tcp", no_port->address, no_port->port});
    } else if (const auto* no_socket = std::get_if<ssh::CancelStreamlocalForwardRequest>(&asked.request)) {
      granted = cancel({"unix", no_socket->path, 0});
    }
    if (granted)
      asked.responder.accept();
    else
      asked.responder.reject();
  }
}

void Forwards::answered() {
  busy_ = false;
  next_request();
  if (busy_ || closed_) return;
  for (auto& waiter : std::exchange(settled_waiters_, {})) waiter();
}

void Forwards::when_settled(std::move_only_function<void()> then) {
  if (closed_) return;
  if (!busy_) return then();
  settled_waiters_.push_back(std::move(then));
}

void Forwards::add_port(const ssh::TcpipForwardRequest& request, ssh::GlobalRequestResponder responder) {
  net::HostPort asked{request.address, static_cast<std::uint16_t>(request.port)};
  Result<LoopbackPort> made = fail(ErrorCode::kResourceExhausted, "more than {} remote forwards", kMaxRemoteForwards);
  if (remotes_.size() < kMaxRemoteForwards) made = listen_on_loopback(visitor_->login_user, asked.port);
  if (made) {
    Key key{"tcp", request.address, made->port};
    std::string listen = fmt::format("localhost:{}", made->port);
    const std::uint16_t port = made->port;
    if (add_remote(key, std::move(listen), "", std::move(made->fds))) return responder.accept_port(port);
    made = fail(ErrorCode::kInternal, "the port can't be watched");
  }
  refuse("remote", asked.text(), made.error(), std::move(responder));
}

void Forwards::refuse(std::string_view what, const std::string& target, const Error& error,
                      ssh::GlobalRequestResponder responder) {
  tell_forward(EventKind::kPortForwardFailed, what, target, &error);
  tell_user_(fmt::format("remote forwarding of {} failed: {}", printable(target), printable(error.message)));
  responder.reject();
}

void Forwards::add_socket(const ssh::StreamlocalForwardRequest& request, ssh::GlobalRequestResponder responder) {
  if (remotes_.size() >= kMaxRemoteForwards || remotes_.contains({"unix", request.path, 0})) {
    Error error{ErrorCode::kResourceExhausted, "the socket is there already, or there are too many remote forwards"};
    return refuse("remote_socket", request.path, error, std::move(responder));
  }
  busy_ = true;
  helper_->listen(request.path, [weak = weak_from_this(), path = request.path,
                                 responder = std::move(responder)](Result<UserHelper::Made> made) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    if (made) {
      std::vector<UniqueFd> fds;
      fds.push_back(std::move(made->fd));
      if (self->add_remote({"unix", path, 0}, path, path, std::move(fds))) {
        responder.accept();
        return self->answered();
      }
      self->helper_->remove(path);
      made = fail(ErrorCode::kInternal, "the socket can't be watched");
    }
    self->refuse("remote_socket", path, made.error(), std::move(responder));
    self->answered();
  });
}

bool Forwards::add_remote(const Key& key, std::string listen, std::string path, std::vector<UniqueFd> fds) {
  auto acceptor = net::Acceptor::open(shard_, std::move(fds), [this, key](UniqueFd fd, const net::Address& peer) {
    on_incoming(key, std::move(fd), peer);
  });
  if (!acceptor) {
    log::error("remote forwarding", {{"error", acceptor.error()}});
    return false;
  }
  if (paused_) (*acceptor)->pause();
  audit::Event told = event(EventKind::kPortForwardOpened);
  told.details = audit::Details().add("login", visitor_->principal.login).add("listen", listen).text();
  context_->emit({std::move(told)});
  Remote remote;
  remote.listen = std::move(listen);
  remote.path = std::move(path);
  remote.acceptor = std::move(*acceptor);
  remotes_.insert_or_assign(key, std::move(remote));
  return true;
}

bool Forwards::cancel(const Key& key) {
  auto entry = remotes_.find(key);
  if (entry == remotes_.end()) return false;
  Remote remote = std::move(entry->second);
  remotes_.erase(entry);
  if (!remote.path.empty()) helper_->remove(remote.path);
  audit::Event told = event(EventKind::kPortForwardClosed);
  told.details = audit::Details()
                     .add("login", visitor_->principal.login)
                     .add("listen", remote.listen)
                     .add("connections", static_cast<std::int64_t>(remote.connections))
                     .add("bytes", static_cast<std::int64_t>(*remote.bytes))
                     .text();
  context_->emit({std::move(told)});
  return true;
}

void Forwards::on_incoming(const Key& key, UniqueFd fd, const net::Address& peer) {
  auto entry = remotes_.find(key);
  if (entry == remotes_.end()) return;
  ++entry->second.connections;
  const auto& [family, address, port] = entry->first;
  if (family == "unix") {
    return open_incoming(Kind::kPort, ssh::ForwardedStreamlocalOpen{.path = address}, std::move(fd),
                         entry->second.bytes);
  }
  open_incoming(
      Kind::kPort,
      ssh::ForwardedTcpipOpen{.host = address, .port = port, .originator_host = peer.ip, .originator_port = peer.port},
      std::move(fd), entry->second.bytes);
}

// ---- the agent

void Forwards::share_agent(std::move_only_function<void(Result<std::string>)> then) {
  if (closed_) return;
  if (agent_acceptor_) return then(agent_path_);
  agent_waiters_.push_back(std::move(then));
  if (agent_waiters_.size() > 1) return;
  helper_->listen_for_agent([weak = weak_from_this()](Result<UserHelper::Made> made) {
    auto self = weak.lock();
    if (self && !self->closed_) self->begin_agent(std::move(made));
  });
}

void Forwards::begin_agent(Result<UserHelper::Made> made) {
  Result<std::string> outcome = std::string();
  if (made) {
    agent_path_ = made->path;
    agent_acceptor_ = accept_for_agent(std::move(made->fd));
    if (!agent_acceptor_) made = fail(ErrorCode::kInternal, "the socket can't be watched");
  }
  if (made) {
    outcome = agent_path_;
    audit::Event told = event(EventKind::kAgentForward);
    told.details = audit::Details().add("login", visitor_->principal.login).text();
    context_->emit({std::move(told)});
  } else {
    outcome = std::unexpected(made.error());
  }
  for (auto& waiter : std::exchange(agent_waiters_, {})) waiter(outcome);
}

std::unique_ptr<net::Acceptor> Forwards::accept_for_agent(UniqueFd listening) {
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(listening));
  auto acceptor = net::Acceptor::open(shard_, std::move(fds), [this](UniqueFd fd, const net::Address&) {
    // The folder keeps others out already; the kernel's word is a second lock.
    if (!is_from(fd.get(), visitor_->login_user.uid)) return;
    open_incoming(Kind::kAgent, ssh::AgentOpen{}, std::move(fd));
  });
  if (!acceptor) {
    log::error("agent forwarding", {{"error", acceptor.error()}});
    return nullptr;
  }
  if (paused_) (*acceptor)->pause();
  return std::move(*acceptor);
}

// ---- X11

void Forwards::open_display(const ssh::X11Request& request,
                            std::move_only_function<void(Result<std::shared_ptr<Display>>)> then) {
  if (closed_) return;
  std::erase_if(displays_, [](const std::weak_ptr<Display>& old) { return old.expired(); });
  if (displays_.size() >= kMaxDisplays) {
    return then(fail(ErrorCode::kResourceExhausted, "more than {} displays on one connection", kMaxDisplays));
  }
  if (!is_valid_x11_cookie(request.protocol, request.cookie) || request.screen > kMaxScreen) {
    return then(fail(ErrorCode::kInvalidArgument, "the X11 request is malformed"));
  }
  Result<LoopbackPort> made = fail(ErrorCode::kResourceExhausted, "every display is in use");
  std::uint32_t number = kFirstDisplay;
  for (; number < kFirstDisplay + kDisplays; ++number) {
    made = listen_on_loopback(visitor_->login_user, static_cast<std::uint16_t>(kDisplayPort + number));
    if (made || made.error().code != ErrorCode::kAlreadyExists) break;
  }
  if (!made) return then(std::unexpected(made.error()));
  auto display = std::make_shared<Display>();
  display->name_ = display_name(number, request.screen);
  auto fds = std::make_shared<std::vector<UniqueFd>>(std::move(made->fds));
  displays_.push_back(display);

  XauthEntry entry{.display = number, .screen = request.screen, .protocol = request.protocol, .cookie = request.cookie};
  auto work = [user = visitor_->login_user, entry = std::move(entry)] { return add_xauth_entry(user, entry); };
  auto done = [weak = weak_from_this(), display, fds,
               wanted = request.single_connection ? Connections::kOne : Connections::kMany,
               then = std::move(then)](Status added) mutable {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    if (!added) return then(std::unexpected(added.error()));
    if (Status watching = self->begin_display(display, wanted, std::move(*fds)); !watching) {
      return then(std::unexpected(watching.error()));
    }
    then(std::move(display));
  };
  if (!context_->options.workers->submit(shard_, std::move(work), std::move(done))) {
    log::warn("too busy to open a display", {{"login", visitor_->principal.login}});
  }
}

Status Forwards::begin_display(const std::shared_ptr<Display>& display, Connections wanted, std::vector<UniqueFd> fds) {
  auto on_accept = [this, weak = std::weak_ptr(display), wanted](UniqueFd fd, const net::Address& peer) {
    open_incoming(Kind::kDisplay, ssh::X11Open{.originator_host = peer.ip, .originator_port = peer.port},
                  std::move(fd));
    auto used = weak.lock();
    if (wanted == Connections::kOne && used) used->acceptor_.reset();
  };
  MEZ_TRY(display->acceptor_, net::Acceptor::open(shard_, std::move(fds), std::move(on_accept)));
  if (paused_) display->acceptor_->pause();
  audit::Event told = event(EventKind::kX11Forward);
  told.details = audit::Details().add("login", visitor_->principal.login).add("display", display->name_).text();
  context_->emit({std::move(told)});
  return {};
}

}  // namespace mezite::agent
