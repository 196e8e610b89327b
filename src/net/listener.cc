#include "net/listener.hh"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/log.hh"
#include "net/connect.hh"

namespace mezite::net {
namespace {

// What counts as one source: an IPv4 address, or the /64 that one IPv6 customer has.
std::string source_of(const Address& peer) {
  in6_addr address{};
  if (peer.ip.find(':') == std::string::npos || ::inet_pton(AF_INET6, peer.ip.c_str(), &address) != 1) return peer.ip;
  return std::string(reinterpret_cast<const char*>(&address), 8);
}

Result<UniqueFd> listen_on(const sockaddr* address, socklen_t size, int backlog, std::string_view name) {
  UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, fmt::format("listening on {}", name));
  int on = 1;
  int off = 0;
  if (address->sa_family != AF_UNIX) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address->sa_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), address, size) != 0 || ::listen(fd.get(), backlog) != 0) {
    if (errno == EADDRINUSE) {
      return fail(
          ErrorCode::kAlreadyExists,
          "cannot listen on {}: the address is in use; stop the program that has it (ss -ltnp), or choose another",
          name);
    }
    if (errno == EACCES) {
      return fail(ErrorCode::kPermissionDenied,
                  "cannot listen on {}: not permitted; ports under 1024 need root or CAP_NET_BIND_SERVICE", name);
    }
    if (errno == EADDRNOTAVAIL) {
      return fail(ErrorCode::kInvalidArgument, "cannot listen on {}: this machine does not have the address", name);
    }
    return fail_errno(errno, fmt::format("listening on {}", name));
  }
  return fd;
}

}  // namespace

void Admission::Pass::release() {
  if (owner_ == nullptr) return;
  Admission& owner = *std::exchange(owner_, nullptr);
  std::lock_guard lock(owner.mutex_);
  auto found = owner.entries_.find(id_);
  if (found == owner.entries_.end()) return;
  auto source = owner.sources_.find(std::string(found->second));
  if (source != owner.sources_.end()) owner.drop(*source, id_);
}

Admission::Load Admission::load_of(const Sources::value_type& source) {
  const auto& half_open = source.second.half_open;
  return {half_open.size(), half_open.empty() ? 0 : ~half_open.begin()->first, source.first};
}

void Admission::add(Sources::value_type& source, std::uint64_t id, Evict evict) {
  loads_.erase(load_of(source));
  source.second.half_open.emplace(id, std::move(evict));
  loads_.insert(load_of(source));
  entries_.emplace(id, source.first);  // a source is not forgotten while it has one
}

void Admission::drop(Sources::value_type& source, std::uint64_t id) {
  entries_.erase(id);
  loads_.erase(load_of(source));
  source.second.half_open.erase(id);
  if (!source.second.half_open.empty()) loads_.insert(load_of(source));
}

bool Admission::make_room(Sources::value_type& source) {
  for (auto& [id, evict] : source.second.half_open) {
    if (!evict) continue;
    evict();
    drop(source, id);
    return true;
  }
  return false;
}

bool Admission::make_room() {
  for (auto load = loads_.rbegin(); load != loads_.rend(); ++load) {
    auto source = sources_.find(std::string(std::get<std::string_view>(*load)));
    if (source != sources_.end() && make_room(*source)) return true;
  }
  return false;
}

std::size_t Admission::half_open() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

void Admission::forget_idle(SteadyTime now) {
  std::erase_if(sources_, [&](const auto& entry) {
    const Source& source = entry.second;
    double idle = std::chrono::duration<double>(now - source.filled).count();
    return source.half_open.empty() && source.tokens + idle * limits_.per_second >= limits_.burst;
  });
}

Result<Admission::Pass> Admission::admit(const Address& peer, Evict evict) {
  std::string key = source_of(peer);
  SteadyTime now = clock_.steady();
  std::lock_guard lock(mutex_);
  auto found = sources_.find(key);
  if (found == sources_.end()) {
    if (sources_.size() >= limits_.sources) forget_idle(now);
    if (sources_.size() >= limits_.sources) return fail(ErrorCode::kResourceExhausted, "too many sources at once");
    found = sources_.emplace(key, Source{limits_.burst, now, {}}).first;
  }
  Source& source = found->second;
  double elapsed = std::chrono::duration<double>(now - source.filled).count();
  source.tokens = std::min(limits_.burst, source.tokens + elapsed * limits_.per_second);
  source.filled = now;
  if (source.tokens < 1) return fail(ErrorCode::kResourceExhausted, "too many connections a second from {}", peer.ip);
  source.tokens -= 1;
  if (source.half_open.size() >= limits_.half_open_per_source && !make_room(*found)) {
    return fail(ErrorCode::kResourceExhausted, "too many unauthenticated connections from {}", peer.ip);
  }
  if (entries_.size() >= limits_.half_open && !make_room()) {
    return fail(ErrorCode::kResourceExhausted, "too many unauthenticated connections");
  }
  std::uint64_t id = next_++;
  add(*found, id, std::move(evict));
  return Pass(this, id);
}

Listener::Listener(Shard& on, ShardPool& pool, AcceptHandler handler, ListenOptions options)
    : on_(on), pool_(pool), handler_(std::move(handler)), options_(options) {}

Listener::~Listener() { close(); }

void Listener::close() {
  on_.cancel(pause_);
  if (fd_) on_.unwatch(fd_.get());
  fd_.reset();
  if (!unix_path_.empty()) ::unlink(std::exchange(unix_path_, {}).c_str());
}

Result<std::unique_ptr<Listener>> Listener::open(Shard& on, ShardPool& pool, const HostPort& address,
                                                 AcceptHandler handler, ListenOptions options) {
  std::unique_ptr<Listener> listener(new Listener(on, pool, std::move(handler), options));
  if (address.host.empty()) {
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(address.port);
    auto fd = listen_on(reinterpret_cast<const sockaddr*>(&any6), sizeof any6, options.backlog, address.text());
    if (!fd && fd.error().code != ErrorCode::kAlreadyExists && fd.error().code != ErrorCode::kPermissionDenied) {
      sockaddr_in any4{};  // a machine without IPv6
      any4.sin_family = AF_INET;
      any4.sin_port = htons(address.port);
      fd = listen_on(reinterpret_cast<const sockaddr*>(&any4), sizeof any4, options.backlog, address.text());
    }
    if (!fd) return std::unexpected(std::move(fd).error());
    listener->fd_ = std::move(*fd);
  } else {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    int error = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
    if (error != 0) {
      return fail(ErrorCode::kInvalidArgument, "cannot listen on {}: {}", address.text(), ::gai_strerror(error));
    }
    auto fd = listen_on(found->ai_addr, found->ai_addrlen, options.backlog, address.text());
    ::freeaddrinfo(found);
    if (!fd) return std::unexpected(std::move(fd).error());
    listener->fd_ = std::move(*fd);
  }
  listener->port_ = local_address(listener->fd_.get()).port;
  MEZ_CHECK(listener->start());
  return listener;
}

Result<std::unique_ptr<Listener>> Listener::open_unix(Shard& on, ShardPool& pool, const std::string& path, mode_t mode,
                                                      AcceptHandler handler, ListenOptions options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument, "the socket path '{}' is longer than {} bytes", path,
                sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  // A socket that nobody answers on is left from a process that has gone; one that answers is not ours to take.
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return fail(ErrorCode::kAlreadyExists, "'{}' is there and is no socket", path);
    UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (probe && ::connect(probe.get(), generic, sizeof address) == 0) {
      return fail(ErrorCode::kAlreadyExists, "'{}' is in use by another process", path);
    }
    ::unlink(path.c_str());
  }
  std::unique_ptr<Listener> listener(new Listener(on, pool, std::move(handler), options));
  mode_t before = ::umask(0177);  // never wider than the mode asked for, not even before chmod
  auto fd = listen_on(generic, sizeof address, options.backlog, path);
  ::umask(before);
  if (!fd) return std::unexpected(std::move(fd).error());
  listener->fd_ = std::move(*fd);
  listener->unix_path_ = path;
  if (::chmod(path.c_str(), mode) != 0) return fail_errno(errno, fmt::format("listening on {}", path));
  MEZ_CHECK(listener->start());
  return listener;
}

Status Listener::start() {
  return on_.watch(fd_.get(), Interest::kRead, Trigger::kLevel, [this](Ready) { accept_ready(); });
}

void Listener::accept_ready() {
  for (int taken = 0; taken < 64; ++taken) {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        log::error("cannot accept connections: out of descriptors or memory; raise the limit of open files");
        on_.modify(fd_.get(), Interest::kNone);
        pause_ = on_.after(std::chrono::milliseconds(100), [this] {
          pause_ = TimerId::kNone;
          on_.modify(fd_.get(), Interest::kRead);
        });
      }
      return;
    }
    Address peer = peer_address(fd.get());
    if (options_.rate != nullptr) {
      if (auto pass = options_.rate->admit(peer); !pass) {
        log::debug("connection refused", {{"peer", peer.text()}, {"why", pass.error()}});
        continue;
      }
    }
    if (!prepare_socket(fd.get())) continue;
    Shard& shard = pool_.next();
    shard.post([&shard, handler = handler_, fd = std::move(fd), peer = std::move(peer)]() mutable {
      handler(shard, std::move(fd), std::move(peer));
    });
  }
}

}  // namespace mezite::net
