#include "net/first_bytes.hh"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace mezite::net {
namespace {

class Reading : public std::enable_shared_from_this<Reading> {
 public:
  Reading(Shard& shard, UniqueFd fd, std::size_t limit, std::function<FirstBytesVerdict(BytesView)> decide,
          std::move_only_function<void(Result<FirstBytes>)> then)
      : shard_(shard), fd_(std::move(fd)), limit_(limit), decide_(std::move(decide)), then_(std::move(then)) {}

  void start(std::chrono::milliseconds timeout) {
    auto self = shared_from_this();
    if (Status watched = shard_.watch(fd_.get(), Interest::kRead, Trigger::kLevel, [self](Ready) { self->ready(); });
        !watched) {
      shard_.post([self, error = watched.error()] { self->finish(std::unexpected(error)); });
      return;
    }
    timer_ = shard_.after(timeout, [self] {
      if (self->bytes_.empty() && self->decide_({}) == FirstBytesVerdict::kEnough) return self->hand_on();
      self->finish(fail(ErrorCode::kTimeout, "the peer said nothing that tells its protocol in time"));
    });
  }

  void cancel() {
    if (then_) finish(fail(ErrorCode::kUnavailable, "too many connections are being set up"));
  }

 private:
  void ready() {
    std::array<std::uint8_t, 4096> buffer;
    std::size_t room = std::min(buffer.size(), limit_ - bytes_.size());
    ssize_t n = ::recv(fd_.get(), buffer.data(), room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return finish(fail_errno(errno, "reading the first bytes"));
    if (n == 0) return finish(fail(ErrorCode::kProtocol, "the peer closed before it said what it speaks"));
    bytes_.insert(bytes_.end(), buffer.begin(), buffer.begin() + n);
    if (decide_(bytes_) == FirstBytesVerdict::kEnough) return hand_on();
    if (bytes_.size() >= limit_)
      finish(fail(ErrorCode::kProtocol, "the first bytes are those of no protocol spoken here"));
  }

  void hand_on() {
    auto self = shared_from_this();
    stop_watching();
    std::exchange(then_, nullptr)(FirstBytes{std::move(fd_), std::move(bytes_)});
  }

  void stop_watching() {
    shard_.cancel(timer_);
    shard_.unwatch(fd_.get());
  }

  void finish(std::unexpected<Error> error) {
    auto self = shared_from_this();
    stop_watching();
    if (then_) std::exchange(then_, nullptr)(std::move(error));
    fd_.reset();
  }

  Shard& shard_;
  UniqueFd fd_;
  const std::size_t limit_;
  std::function<FirstBytesVerdict(BytesView)> decide_;
  std::move_only_function<void(Result<FirstBytes>)> then_;
  Bytes bytes_;
  TimerId timer_{};
};

}  // namespace

std::function<void()> read_first_bytes(Shard& shard, UniqueFd fd, std::size_t limit, std::chrono::milliseconds timeout,
                                       std::function<FirstBytesVerdict(BytesView)> decide,
                                       std::move_only_function<void(Result<FirstBytes>)> then) {
  auto reading = std::make_shared<Reading>(shard, std::move(fd), limit, std::move(decide), std::move(then));
  reading->start(timeout);
  return [weak = std::weak_ptr(reading)] {
    if (auto self = weak.lock()) self->cancel();
  };
}

}  // namespace mezite::net
