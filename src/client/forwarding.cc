#include "client/forwarding.hh"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hh"
#include "client/local_sockets.hh"
#include "client/socks_service.hh"
#include "net/connect.hh"

namespace mezite::client {
namespace {

constexpr std::chrono::seconds kConnectLimit{30};
constexpr std::size_t kMaxLive = 200;  // of ConnectionLimits::max_channels

// A channel handler in front of another one; what it does not care for goes through.
class Before : public ssh::ChannelHandler {
 public:
  explicit Before(std::shared_ptr<ssh::ChannelHandler> inner) : inner_(std::move(inner)) {}
  void on_open(ssh::Channel channel) override { inner_->on_open(std::move(channel)); }
  void on_open_failed(ssh::OpenFailure reason, std::string_view text) override { inner_->on_open_failed(reason, text); }
  void on_data(BytesView data, ssh::DataKind kind) override { inner_->on_data(data, kind); }
  void on_eof() override { inner_->on_eof(); }
  void on_request(const ssh::ChannelRequest& request, ssh::RequestResponder responder) override {
    inner_->on_request(request, std::move(responder));
  }
  void on_writable() override { inner_->on_writable(); }
  void on_closed() override { inner_->on_closed(); }

 protected:
  std::shared_ptr<ssh::ChannelHandler> inner_;
};

// Tells the user why a connection came to nothing, and a SOCKS client whether it did.
class Reported final : public Before {
 public:
  struct Socks {
    UniqueFd fd;  // a duplicate
    Bytes granted;
    Bytes failed;
  };
  Reported(std::shared_ptr<ssh::ChannelHandler> inner, std::string target, std::function<void(std::string)> tell,
           std::optional<Socks> socks = {})
      : Before(std::move(inner)), target_(std::move(target)), tell_(std::move(tell)), socks_(std::move(socks)) {}
  void on_open(ssh::Channel channel) override {
    if (socks_) send_socks_reply(socks_->fd.get(), socks_->granted);
    socks_.reset();
    Before::on_open(std::move(channel));
  }
  void on_open_failed(ssh::OpenFailure reason, std::string_view text) override {
    if (socks_) send_socks_reply(socks_->fd.get(), socks_->failed);
    socks_.reset();
    tell_(fmt::format("forwarding to {} failed: {}", target_, printable(text)));
    Before::on_open_failed(reason, text);
  }

 private:
  std::string target_;
  std::function<void(std::string)> tell_;
  std::optional<Socks> socks_;
};

// The first bytes of an X11 program go through the exchange of cookies.
class CookieChecked final : public Before {
 public:
  CookieChecked(std::shared_ptr<net::ChannelRelay> relay, const X11Display& display,
                std::function<void(std::string)> tell)
      : Before(relay), relay_(std::move(relay)), exchange_(display), tell_(std::move(tell)) {}
  void on_data(BytesView data, ssh::DataKind kind) override {
    if (passed_) return Before::on_data(data, kind);
    switch (exchange_.take(data)) {
      case X11CookieExchange::Next::kMore: return;
      case X11CookieExchange::Next::kPass: passed_ = true; return Before::on_data(exchange_.out(), kind);
      case X11CookieExchange::Next::kRefuse: break;
    }
    tell_("a program on the node was kept from the display: it showed a wrong X11 cookie");
    relay_->stop({ErrorCode::kPermissionDenied, "wrong X11 cookie"});
  }

 private:
  std::shared_ptr<net::ChannelRelay> relay_;
  X11CookieExchange exchange_;
  std::function<void(std::string)> tell_;
  bool passed_ = false;
};

// What ssh sends for a bind address: nothing given is localhost, "*" is the empty name (RFC 4254 §7.1).
std::string remote_address(const ForwardPoint& listen) {
  if (listen.host.empty()) return "localhost";
  return listen.host == "*" ? std::string() : listen.host;
}

bool is_dynamic(const ForwardSpec& spec) {
  return spec.kind == ForwardKind::kDynamic || spec.kind == ForwardKind::kRemoteDynamic;
}

}  // namespace

Forwarding::Forwarding(net::Shard& shard, ForwardingOptions options, ForwardingPeer peer)
    : shard_(shard), options_(std::move(options)), peer_(std::move(peer)) {}

Forwarding::~Forwarding() { stop_listening(); }

net::WorkerPool& Forwarding::workers() {
  if (!workers_) workers_ = std::make_unique<net::WorkerPool>(2, 128);
  return *workers_;
}

void Forwarding::count(int change) {
  live_ += static_cast<std::size_t>(change);
  for (const Listening& one : listening_) {
    if (live_ >= kMaxLive)
      one.acceptor->pause();
    else
      one.acceptor->resume();
  }
  peer_.changed();
}

std::shared_ptr<net::ChannelRelay> Forwarding::make_relay(UniqueFd fd, Bytes first) {
  count(1);
  return net::ChannelRelay::make(shard_, std::move(fd), {.first_to_channel = std::move(first), .idle_timeout = {}},
                                 [weak = weak_from_this()](net::RelayEnd) {
                                   if (auto self = weak.lock()) self->count(-1);
                                 });
}

// ---- listeners

void Forwarding::start() {
  started_ = true;
  for (const ForwardSpec& spec : options_.forwards) {
    if (spec.kind == ForwardKind::kLocal || spec.kind == ForwardKind::kDynamic)
      listen_here(spec);
    else
      listen_there(spec);
  }
  peer_.changed();
}

void Forwarding::failed(const ForwardSpec& spec, std::string_view why) {
  bool remote = spec.kind == ForwardKind::kRemote || spec.kind == ForwardKind::kRemoteDynamic;
  std::string text =
      fmt::format("forwarding of {}{} failed: {}", remote ? "the node's " : "", printable(spec.listen.text()), why);
  if (options_.on_failure == OnForwardFailure::kEnd) return peer_.fail({ErrorCode::kUnavailable, std::move(text)});
  peer_.tell(std::move(text));
}

void Forwarding::listen_here(const ForwardSpec& spec) {
  struct stat info{};
  if (spec.listen.is_socket() && options_.stale_socket == StaleSocket::kRemove &&
      ::lstat(spec.listen.path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
    ::unlink(spec.listen.path.c_str());
  }
  auto fds = listen_on(spec.listen);
  if (!fds) return failed(spec, fds.error().message);
  Listening made{.acceptor = nullptr, .path = spec.listen.path};
  auto acceptor = net::Acceptor::open(shard_, std::move(*fds), [this, spec](UniqueFd fd, const net::Address& peer) {
    if (is_dynamic(spec)) return on_socks(std::move(fd), peer);
    on_local(spec, std::move(fd), peer);
  });
  if (!acceptor) return failed(spec, acceptor.error().message);
  made.acceptor = std::move(*acceptor);
  listening_.push_back(std::move(made));
}

void Forwarding::listen_there(const ForwardSpec& spec) {
  const std::size_t index = remotes_.size();
  remotes_.push_back({.spec = spec, .address = remote_address(spec.listen), .port = spec.listen.port});
  ++waiting_;
  ssh::GlobalRequest request;
  if (spec.listen.is_socket())
    request = ssh::StreamlocalForwardRequest{.path = spec.listen.path};
  else
    request = ssh::TcpipForwardRequest{.address = remotes_[index].address, .port = spec.listen.port};
  peer_.global_request(request, [weak = weak_from_this(), index](std::optional<BytesView> reply) {
    if (auto self = weak.lock()) self->on_listening(index, reply);
  });
}

void Forwarding::on_listening(std::size_t index, std::optional<BytesView> reply) {
  Remote& remote = remotes_[index];
  --waiting_;
  remote.open = reply.has_value();
  if (!reply) {
    failed(remote.spec, "the node refused it (the port is taken or not yours, or your roles allow no port forwarding)");
  } else if (remote.port == 0 && !remote.spec.listen.is_socket()) {
    remote.port = ssh::forwarded_port(reply).value_or(0);
    // As ssh says it, for scripts that look for it.
    peer_.tell(fmt::format("Allocated port {} for remote forward to {}", remote.port,
                           is_dynamic(remote.spec) ? "SOCKS" : remote.spec.target.text()));
  }
  peer_.changed();
}

void Forwarding::stop_listening() {
  for (const Listening& one : listening_) {
    if (!one.path.empty()) ::unlink(one.path.c_str());
  }
  listening_.clear();
  for (Remote& remote : remotes_) remote.open = false;
}

// ---- connections that begin here

void Forwarding::on_local(const ForwardSpec& spec, UniqueFd fd, const net::Address& peer) {
  ssh::ChannelOpen open;
  if (spec.target.is_socket()) {
    open = ssh::DirectStreamlocalOpen{.path = spec.target.path};
  } else {
    open = ssh::DirectTcpipOpen{.host = spec.target.host,
                                .port = spec.target.port,
                                .originator_host = peer.ip.empty() ? "127.0.0.1" : peer.ip,
                                .originator_port = peer.port};
  }
  auto relay = make_relay(std::move(fd));
  peer_.open_channel(open, std::make_shared<Reported>(std::move(relay), printable(spec.target.text()), peer_.tell));
}

void Forwarding::on_socks(UniqueFd fd, const net::Address& peer) {
  read_socks_request(shard_, std::move(fd), [weak = weak_from_this(), peer](SocksAsked asked) {
    auto self = weak.lock();
    if (!self) return;
    ssh::DirectTcpipOpen open{.host = asked.target.host,
                              .port = asked.target.port,
                              .originator_host = peer.ip.empty() ? "127.0.0.1" : peer.ip,
                              .originator_port = peer.port};
    Reported::Socks socks{.fd = UniqueFd(::fcntl(asked.fd.get(), F_DUPFD_CLOEXEC, 0)),
                          .granted = std::move(asked.granted),
                          .failed = std::move(asked.failed)};
    auto relay = self->make_relay(std::move(asked.fd), std::move(asked.rest));
    self->peer_.open_channel(open, std::make_shared<Reported>(std::move(relay), printable(asked.target.text()),
                                                              self->peer_.tell, std::move(socks)));
  });
}

// ---- connections that begin on the node

void Forwarding::on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) {
  if (live_ >= kMaxLive) return responder.reject(ssh::OpenFailure::kResourceShortage, "too many connections");
  if (const auto* port = std::get_if<ssh::ForwardedTcpipOpen>(&open)) {
    for (const Remote& remote : remotes_) {
      if (!remote.open || remote.spec.listen.is_socket()) continue;
      if (remote.address == port->host && remote.port == port->port)
        return on_remote(remote.spec, std::move(responder));
    }
  } else if (const auto* socket = std::get_if<ssh::ForwardedStreamlocalOpen>(&open)) {
    for (const Remote& remote : remotes_) {
      if (remote.open && remote.spec.listen.path == socket->path) return on_remote(remote.spec, std::move(responder));
    }
  } else if (std::holds_alternative<ssh::AgentOpen>(open)) {
    if (agent_allowed_) return join_with(connect_to_socket(options_.agent_socket), std::move(responder));
  } else if (std::holds_alternative<ssh::X11Open>(open)) {
    if (x11_allowed_ && options_.x11) return on_x11(std::move(responder));
  }
  responder.reject(ssh::OpenFailure::kAdministrativelyProhibited, "this was not asked for");
}

void Forwarding::connect(const ForwardPoint& target, std::move_only_function<void(Result<UniqueFd>)> then) {
  if (target.is_socket()) return then(connect_to_socket(target.path));
  net::async_connect(shard_, workers(), {target.host, target.port}, kConnectLimit,
                     [then = std::move(then)](Result<net::Connected> connected) mutable {
                       if (connected)
                         then(std::move(connected->fd));
                       else
                         then(std::unexpected(connected.error()));
                     });
}

void Forwarding::join_with(Result<UniqueFd> connected, ssh::ChannelOpenResponder responder) {
  if (connected) {
    responder.accept(make_relay(std::move(*connected)));
    return;
  }
  peer_.tell(printable(connected.error().message));
  responder.reject(ssh::OpenFailure::kConnectFailed, "the client can't connect");
}

void Forwarding::on_remote(const ForwardSpec& spec, ssh::ChannelOpenResponder responder) {
  if (is_dynamic(spec)) return on_remote_socks(std::move(responder));
  connect(spec.target, [weak = weak_from_this(), responder = std::move(responder)](Result<UniqueFd> connected) mutable {
    if (auto self = weak.lock()) self->join_with(std::move(connected), std::move(responder));
  });
}

// The channel ends in a pair of sockets, behind which the SOCKS proxy sits.
void Forwarding::on_remote_socks(ssh::ChannelOpenResponder responder) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return responder.reject(ssh::OpenFailure::kResourceShortage, "the client has no socket left");
  }
  UniqueFd ours(ends[0]);
  UniqueFd proxy(ends[1]);
  responder.accept(make_relay(std::move(ours)));
  read_socks_request(shard_, std::move(proxy), [weak = weak_from_this()](SocksAsked asked) {
    auto self = weak.lock();
    if (!self) return;
    ForwardPoint target{.host = asked.target.host, .port = asked.target.port, .path = {}};
    auto kept = std::make_shared<SocksAsked>(std::move(asked));
    self->connect(target, [weak, kept](Result<UniqueFd> connected) {
      auto owner = weak.lock();
      if (!owner) return;
      send_socks_reply(kept->fd.get(), connected ? kept->granted : kept->failed);
      if (!connected) return owner->peer_.tell(printable(connected.error().message));
      const std::uint64_t id = owner->next_relay_++;
      net::RelayOptions options;
      options.first_to_b = std::move(kept->rest);
      owner->relays_[id] = net::Relay::start(owner->shard_, std::move(kept->fd), std::move(*connected),
                                             std::move(options), [weak, id](net::RelayEnd) {
                                               if (auto last = weak.lock()) last->relays_.erase(id);
                                             });
    });
  });
}

void Forwarding::on_x11(ssh::ChannelOpenResponder responder) {
  const X11Display& display = *options_.x11;
  const ForwardPoint target{.host = display.address.host, .port = display.address.port, .path = display.socket};
  connect(target, [weak = weak_from_this(), responder = std::move(responder)](Result<UniqueFd> connected) mutable {
    auto self = weak.lock();
    if (!self) return;
    if (!connected) return self->join_with(std::move(connected), std::move(responder));
    responder.accept(std::make_shared<CookieChecked>(self->make_relay(std::move(*connected)), *self->options_.x11,
                                                     self->peer_.tell));
  });
}

}  // namespace mezite::client
