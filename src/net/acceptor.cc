#include "net/acceptor.hh"

#include <sys/socket.h>

#include <cerrno>

#include "base/log.hh"
#include "net/connect.hh"

namespace mezite::net {
namespace {

constexpr int kAcceptsPerTurn = 16;
constexpr std::chrono::milliseconds kShortageRest{100};

bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

class Acceptor::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(Shard& shard, std::vector<UniqueFd> fds, Handler handler)
      : shard_(shard), fds_(std::move(fds)), handler_(std::move(handler)) {}

  Status start() {
    for (const UniqueFd& fd : fds_) {
      MEZ_CHECK(
          shard_.watch(fd.get(), Interest::kRead, Trigger::kLevel, [self = weak_from_this(), number = fd.get()](Ready) {
            if (auto body = self.lock()) body->take(number);
          }));
      ++watched_;
    }
    return {};
  }

  void close() {
    shard_.cancel(rest_);
    for (std::size_t i = 0; i < watched_; ++i) shard_.unwatch(fds_[i].get());
    watched_ = 0;
    fds_.clear();
  }

  void set_paused(bool paused) {
    if (paused_ == paused) return;
    paused_ = paused;
    for (const UniqueFd& fd : fds_) shard_.modify(fd.get(), paused ? Interest::kNone : Interest::kRead);
  }

 private:
  void take(int listening) {
    auto self = shared_from_this();
    for (int i = 0; i < kAcceptsPerTurn && !paused_ && !fds_.empty(); ++i) {
      UniqueFd fd(::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (is_shortage(errno)) rest();
        return;
      }
      int on = 1;
      ::setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      if (!prepare_socket(fd.get())) continue;
      Address peer = peer_address(fd.get());
      handler_(std::move(fd), std::move(peer));
    }
  }

  void rest() {
    if (rest_ != TimerId::kNone || paused_) return;
    log::error("cannot accept connections: out of descriptors or memory; raise the limit of open files");
    set_paused(true);
    rest_ = shard_.after(kShortageRest, [this] {
      rest_ = TimerId::kNone;
      set_paused(false);
    });
  }

  Shard& shard_;
  std::vector<UniqueFd> fds_;
  Handler handler_;
  std::size_t watched_ = 0;
  bool paused_ = false;
  TimerId rest_{};
};

Acceptor::Acceptor(std::shared_ptr<Body> body) : body_(std::move(body)) {}
Acceptor::~Acceptor() { body_->close(); }
void Acceptor::pause() { body_->set_paused(true); }
void Acceptor::resume() { body_->set_paused(false); }

Result<std::unique_ptr<Acceptor>> Acceptor::open(Shard& shard, std::vector<UniqueFd> listening, Handler handler) {
  auto body = std::make_shared<Body>(shard, std::move(listening), std::move(handler));
  std::unique_ptr<Acceptor> acceptor(new Acceptor(body));
  MEZ_CHECK(body->start());
  return acceptor;
}

}  // namespace mezite::net
