#include "client/socks_service.hh"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace mezite::client {
namespace {

constexpr std::chrono::seconds kLimit{30};

// Keeps itself alive through its watch.
class Reading : public std::enable_shared_from_this<Reading> {
 public:
  Reading(net::Shard& shard, UniqueFd fd, std::function<void(SocksAsked)> then)
      : shard_(shard), fd_(std::move(fd)), then_(std::move(then)) {}

  void start() {
    auto self = shared_from_this();
    if (!shard_.watch(fd_.get(), net::Interest::kRead, net::Trigger::kLevel, [self](net::Ready) { self->read(); })) {
      return;
    }
    timer_ = shard_.after(kLimit, [self] {
      self->timer_ = net::TimerId::kNone;
      self->stop();
    });
  }

 private:
  void read() {
    auto self = shared_from_this();
    std::array<std::uint8_t, 512> chunk;
    ssize_t n = ::read(fd_.get(), chunk.data(), chunk.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      stop();
      return;
    }
    SocksRequest::Next next = request_.take(BytesView(chunk).first(static_cast<std::size_t>(n)));
    send_socks_reply(fd_.get(), request_.reply());
    if (next == SocksRequest::Next::kMore) return;
    UniqueFd fd = stop();
    if (next == SocksRequest::Next::kRefuse) return;
    then_({.fd = std::move(fd),
           .target = {request_.host(), request_.port()},
           .rest = request_.rest(),
           .granted = request_.granted(),
           .failed = request_.failed()});
  }

  UniqueFd stop() {
    shard_.cancel(timer_);
    if (fd_) shard_.unwatch(fd_.get());
    return std::move(fd_);
  }

  net::Shard& shard_;
  UniqueFd fd_;
  std::function<void(SocksAsked)> then_;
  SocksRequest request_;
  net::TimerId timer_{};
};

}  // namespace

void send_socks_reply(int fd, BytesView reply) {
  if (!reply.empty()) [[maybe_unused]]
    ssize_t ignored = ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
}

void read_socks_request(net::Shard& shard, UniqueFd fd, std::function<void(SocksAsked)> then) {
  std::make_shared<Reading>(shard, std::move(fd), std::move(then))->start();
}

}  // namespace mezite::client
