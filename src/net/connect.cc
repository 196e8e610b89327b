#include "net/connect.hh"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

namespace mezite::net {
namespace {

struct Target {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Result<std::vector<Target>> resolve(const HostPort& target) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
  if (is_ip_address(target.host)) hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
  const std::string host = target.host.empty() ? "localhost" : target.host;
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(host.c_str(), std::to_string(target.port).c_str(), &hints, &list);
  if (error != 0) {
    return fail(ErrorCode::kUnavailable, "cannot find host '{}': {}; check the name and the DNS", host,
                ::gai_strerror(error));
  }
  std::vector<Target> result;
  for (addrinfo* entry = list; entry != nullptr && result.size() < 16; entry = entry->ai_next) {
    Target found;
    if (entry->ai_addrlen > sizeof found.address) continue;
    std::memcpy(&found.address, entry->ai_addr, entry->ai_addrlen);
    found.size = entry->ai_addrlen;
    result.push_back(found);
  }
  ::freeaddrinfo(list);
  return result;
}

std::unexpected<Error> cannot_connect(const HostPort& target, int error) {
  return fail(error == ETIMEDOUT ? ErrorCode::kTimeout : ErrorCode::kUnavailable, "cannot connect to {}: {}",
              target.text(), std::strerror(error));
}

// A socket on its way; errno_value 0: connected or in progress.
UniqueFd begin_connect(const Target& target, int& errno_value, const SocketMaker& make_socket = {}) {
  UniqueFd fd = make_socket
                    ? make_socket(target.address.ss_family)
                    : UniqueFd(::socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  errno_value = errno;
  if (!fd) return fd;
  errno_value = 0;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&target.address), target.size) != 0 &&
      errno != EINPROGRESS) {
    errno_value = errno;
  }
  return fd;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

// Walks the addresses on the shard; keeps itself alive through its watch and timer.
class Connecting : public std::enable_shared_from_this<Connecting> {
 public:
  Connecting(Shard& shard, HostPort target, SteadyTime deadline, std::move_only_function<void(Result<Connected>)> then,
             SocketMaker make_socket)
      : shard_(shard),
        target_(std::move(target)),
        deadline_(deadline),
        then_(std::move(then)),
        make_socket_(std::move(make_socket)) {}

  void resolved(Result<std::vector<Target>> addresses) {
    if (!addresses) return finish(std::unexpected(std::move(addresses).error()));
    addresses_ = std::move(*addresses);
    next();
  }

 private:
  void next() {
    while (index_ < addresses_.size()) {
      fd_ = begin_connect(addresses_[index_++], errno_, make_socket_);
      if (!fd_ || errno_ != 0) continue;
      auto left = deadline_ - shard_.now();
      // An address that does not answer leaves time for the others.
      if (index_ < addresses_.size())
        left = std::min<std::chrono::nanoseconds>(
            left, std::max<std::chrono::nanoseconds>(left / 2, std::chrono::seconds(2)));
      Status watched = shard_.watch(fd_.get(), Interest::kWrite, Trigger::kLevel,
                                    [self = shared_from_this()](Ready) { self->ready(); });
      if (!watched) return finish(std::unexpected(std::move(watched).error()));
      timer_ = shard_.after(left, [self = shared_from_this()] { self->timed_out(); });
      return;
    }
    finish(cannot_connect(target_, errno_ == 0 ? EHOSTUNREACH : errno_));
  }

  void stop_watching() {
    shard_.unwatch(fd_.get());
    shard_.cancel(timer_);
  }

  void ready() {
    auto self = shared_from_this();
    stop_watching();
    errno_ = socket_error(fd_.get());
    if (errno_ != 0) return next();
    if (Status prepared = prepare_socket(fd_.get()); !prepared) return finish(std::unexpected(prepared.error()));
    Address peer = peer_address(fd_.get());
    finish(Connected{std::move(fd_), std::move(peer)});
  }

  void timed_out() {
    auto self = shared_from_this();
    stop_watching();
    errno_ = ETIMEDOUT;
    if (shard_.now() >= deadline_) index_ = addresses_.size();
    next();
  }

  void finish(Result<Connected> result) {
    if (then_) std::exchange(then_, nullptr)(std::move(result));
  }

  Shard& shard_;
  HostPort target_;
  SteadyTime deadline_;
  std::move_only_function<void(Result<Connected>)> then_;
  const SocketMaker make_socket_;
  std::vector<Target> addresses_;
  std::size_t index_ = 0;
  UniqueFd fd_;
  int errno_ = 0;
  TimerId timer_{};
};

}  // namespace

Status prepare_socket(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(errno, "preparing a socket");
  }
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets, which have no delay
  return {};
}

Status set_blocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) return fail_errno(errno, "preparing a socket");
  return {};
}

void async_connect(Shard& shard, WorkerPool& workers, HostPort target, std::chrono::milliseconds timeout,
                   std::move_only_function<void(Result<Connected>)> then, SocketMaker make_socket) {
  auto connecting =
      std::make_shared<Connecting>(shard, target, shard.now() + timeout, std::move(then), std::move(make_socket));
  bool queued = workers.submit(
      shard, [target] { return resolve(target); },
      [connecting](Result<std::vector<Target>> addresses) { connecting->resolved(std::move(addresses)); });
  if (!queued) {
    shard.post([connecting, target] {
      connecting->resolved(
          fail(ErrorCode::kResourceExhausted, "cannot connect to {}: too busy, try again", target.text()));
    });
  }
}

Result<Connected> connect_blocking(const HostPort& target, std::chrono::milliseconds timeout) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  MEZ_TRY(auto addresses, resolve(target));
  int error = EHOSTUNREACH;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    UniqueFd fd = begin_connect(addresses[i], error);
    if (!fd || error != 0) continue;
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (i + 1 < addresses.size()) left = std::min(left, std::max(left / 2, std::chrono::milliseconds(2000)));
    pollfd waiting{fd.get(), POLLOUT, 0};
    int ready = 0;
    do {
      ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    } while (ready < 0 && errno == EINTR);
    error = ready == 0 ? ETIMEDOUT : ready < 0 ? errno : socket_error(fd.get());
    if (error != 0) continue;
    MEZ_CHECK(prepare_socket(fd.get()));
    MEZ_CHECK(set_blocking(fd.get()));
    Address peer = peer_address(fd.get());
    return Connected{std::move(fd), std::move(peer)};
  }
  return cannot_connect(target, error);
}

}  // namespace mezite::net
