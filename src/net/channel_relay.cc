#include "net/channel_relay.hh"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/byte_queue.hh"

namespace mezite::net {
namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr int kReadsPerTurn = 2;
constexpr std::size_t kWriteBytes = std::size_t{256} << 10;  // what is gathered for one write
constexpr std::chrono::seconds kLastWrites{30};

}  // namespace

class FdToChannel::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(Shard& on, UniqueFd from, Options opts, std::move_only_function<void(Status)> told)
      : shard(on), fd(std::move(from)), options(std::move(opts)), ended(std::move(told)) {}

  void start(ssh::Channel to) {
    channel = std::move(to);
    if (options.tap && !options.first.empty()) options.tap(options.first);
    bytes += options.first.size();
    Status watched =
        shard.watch(fd.get(), Interest::kNone, Trigger::kLevel, [self = shared_from_this()](Ready) { self->pump(); });
    if (!watched) {
      shard.at_end_of_turn([self = shared_from_this(), watched] { self->finish(watched); });
      return;
    }
    started = true;
    wake();
  }

  // Not at once: the caller may be inside of the endpoint.
  void wake() {
    if (!started || scheduled) return;
    scheduled = true;
    shard.at_end_of_turn([self = shared_from_this()] {
      self->scheduled = false;
      self->pump();
    });
  }

  void stop() {
    ended = nullptr;
    release();
  }

  Shard& shard;
  std::uint64_t bytes = 0;
  bool paused = false;

 private:
  void pump() {
    if (!fd) return;
    auto self = shared_from_this();
    bool room = true;
    for (int i = 0; i < kReadsPerTurn && !paused; ++i) {
      if (!options.first.empty()) {
        if (!(room = send_first())) break;
        continue;
      }
      const std::size_t most = channel.writable();
      if (most == 0) {
        room = false;
        break;
      }
      thread_local std::array<std::uint8_t, kReadBytes> scratch;
      const LentMemory lent = options.memory ? options.memory(most) : LentMemory();
      std::span<std::uint8_t> place = lent.bytes.empty() ? std::span(scratch) : lent.bytes;
      place = place.first(std::min(most, place.size()));
      ssize_t n = ::read(fd.get(), place.data(), place.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n == 0 || (n < 0 && errno == EIO)) return finish({});
      if (n < 0) return finish(std::unexpected(Error{ErrorCode::kIo, std::strerror(errno)}));
      const BytesView data = place.first(static_cast<std::size_t>(n));
      if (options.tap) options.tap(data);
      bytes += data.size();
      const std::size_t taken = channel.write(data, options.kind);
      if (!fd) return;
      options.first.assign(data.begin() + static_cast<std::ptrdiff_t>(taken), data.end());
      if (data.size() < place.size()) break;  // that was all there is: to ask again would cost a call
    }
    // Without room the channel's on_writable() wakes this.
    shard.modify(fd.get(), room && !paused ? Interest::kRead : Interest::kNone);
  }

  bool send_first() {
    std::size_t n = channel.write(options.first, options.kind);
    options.first.erase(options.first.begin(), options.first.begin() + static_cast<std::ptrdiff_t>(n));
    return n > 0;
  }

  void finish(Status status) {
    auto told = std::exchange(ended, nullptr);
    release();
    if (told) told(std::move(status));
  }

  void release() {
    if (fd) shard.unwatch(fd.get());
    fd.reset();
    started = false;
  }

  UniqueFd fd;
  Options options;
  std::move_only_function<void(Status)> ended;
  ssh::Channel channel;
  bool started = false;
  bool scheduled = false;
};

FdToChannel::FdToChannel(Shard& shard, UniqueFd fd, Options options, std::move_only_function<void(Status)> ended)
    : body_(std::make_shared<Body>(shard, std::move(fd), std::move(options), std::move(ended))) {}
FdToChannel::~FdToChannel() { body_->stop(); }
void FdToChannel::start(ssh::Channel channel) { body_->start(std::move(channel)); }
void FdToChannel::on_writable() { body_->wake(); }
void FdToChannel::pause() { body_->paused = true; }
void FdToChannel::resume() {
  body_->paused = false;
  body_->wake();
}
std::uint64_t FdToChannel::bytes() const { return body_->bytes; }

class ChannelToFd::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(Shard& on, UniqueFd to, std::move_only_function<void(Status)> told)
      : shard(on), fd(std::move(to)), broken(std::move(told)) {}

  void start(ssh::Channel from) {
    channel = std::move(from);
    Status watched =
        shard.watch(fd.get(), Interest::kNone, Trigger::kLevel, [self = shared_from_this()](Ready) { self->flush(); });
    if (!watched) failed(watched);
  }

  // Packets that come together go out together, at the end of the turn at the latest.
  void write(BytesView data, std::size_t owed) {
    if (finishing) return channel.consumed(owed);
    if (!fd) return channel.consumed(owed);  // broken: swallowed, so that the channel can end
    buffer.append(data);
    if (owed > 0) {
      unacknowledged += owed;
    } else {
      own += data.size();
    }
    if (full) return;
    if (buffer.size() >= kWriteBytes) return flush();
    if (std::exchange(scheduled, true)) return;
    shard.at_end_of_turn([self = shared_from_this()] {
      self->scheduled = false;
      if (!self->full) self->flush();
    });
  }

  void finish(std::move_only_function<void(UniqueFd)> told) {
    if (finishing) return;
    finishing = true;
    finished = std::move(told);
    if (buffer.empty()) {
      shard.at_end_of_turn([self = shared_from_this()] { self->complete(); });
    }
  }

  void stop() {
    broken = nullptr;
    finished = nullptr;
    release();
  }

  Shard& shard;
  std::uint64_t bytes = 0;

 private:
  // 0 when the descriptor takes nothing now; failed() when it is broken.
  std::size_t write_some(BytesView data) {
    std::size_t total = 0;
    while (total < data.size()) {
      ssize_t n = ::write(fd.get(), data.data() + total, data.size() - total);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n <= 0) {
        failed(std::unexpected(Error{ErrorCode::kIo, std::strerror(n < 0 ? errno : EPIPE)}));
        break;
      }
      total += static_cast<std::size_t>(n);
    }
    return total;
  }

  void flush() {
    if (!fd || buffer.empty()) return;
    auto self = shared_from_this();
    std::size_t written = write_some(buffer.filled());
    if (!fd) return;
    bytes += written;
    buffer.consume(written);
    if (full != !buffer.empty()) {
      full = !full;
      shard.modify(fd.get(), full ? Interest::kWrite : Interest::kNone);
    }
    // Bytes of our own are counted off first; the window is given back a little late rather than early.
    std::size_t of_own = std::min(own, written);
    own -= of_own;
    give_back(written - of_own);
    if (finishing && buffer.empty()) complete();
  }

  void give_back(std::size_t size) {
    size = std::min(size, unacknowledged);
    unacknowledged -= size;
    if (size > 0) channel.consumed(size);
  }

  void complete() {
    auto self = shared_from_this();
    if (fd) shard.unwatch(fd.get());
    auto told = std::exchange(finished, nullptr);
    UniqueFd rest = std::move(fd);
    broken = nullptr;
    if (told) told(std::move(rest));
  }

  void failed(Status why) {
    auto told = std::exchange(broken, nullptr);
    release();
    std::size_t owed = std::exchange(unacknowledged, 0);
    if (owed > 0) channel.consumed(owed);
    if (finished) told = nullptr;
    // The caller may be inside of the endpoint.
    shard.at_end_of_turn([self = shared_from_this(), told = std::move(told), why = std::move(why)]() mutable {
      if (told) told(std::move(why));
      if (self->finished) std::exchange(self->finished, nullptr)(UniqueFd());
    });
  }

  void release() {
    if (fd) shard.unwatch(fd.get());
    fd.reset();
    buffer.consume(buffer.size());
  }

  UniqueFd fd;
  std::move_only_function<void(Status)> broken;
  std::move_only_function<void(UniqueFd)> finished;
  ssh::Channel channel;
  ByteQueue buffer;
  bool scheduled = false;
  bool full = false;               // the descriptor takes nothing now
  std::size_t unacknowledged = 0;  // of the channel's window
  std::size_t own = 0;             // bytes of write_own() that wait
  bool finishing = false;
};

ChannelToFd::ChannelToFd(Shard& shard, UniqueFd fd, std::move_only_function<void(Status)> broken)
    : body_(std::make_shared<Body>(shard, std::move(fd), std::move(broken))) {}
ChannelToFd::~ChannelToFd() { body_->stop(); }
void ChannelToFd::start(ssh::Channel channel) { body_->start(std::move(channel)); }
void ChannelToFd::write(BytesView data) { body_->write(data, data.size()); }
void ChannelToFd::write_own(BytesView data) { body_->write(data, 0); }
void ChannelToFd::finish(std::move_only_function<void(UniqueFd)> finished) { body_->finish(std::move(finished)); }
std::uint64_t ChannelToFd::bytes() const { return body_->bytes; }

ChannelRelay::ChannelRelay(Shard& shard, ChannelRelayOptions options, std::move_only_function<void(RelayEnd)> done)
    : shard_(shard), options_(std::move(options)), done_(std::move(done)) {}

ChannelRelay::~ChannelRelay() { shard_.cancel(idle_); }

std::shared_ptr<ChannelRelay> ChannelRelay::make(Shard& shard, UniqueFd socket, ChannelRelayOptions options,
                                                 std::move_only_function<void(RelayEnd)> done) {
  std::shared_ptr<ChannelRelay> relay(new ChannelRelay(shard, std::move(options), std::move(done)));
  relay->socket_ = std::move(socket);
  return relay;
}

void ChannelRelay::on_open(ssh::Channel channel) {
  channel_ = channel;
  if (ended_) return channel_.close();
  // Two descriptors of one socket, so that each direction has a watch of its own.
  UniqueFd in(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
  UniqueFd out(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
  if (!in || !out) return end(fail_errno(errno, "joining a channel with a socket"));
  std::weak_ptr<ChannelRelay> weak = weak_from_this();
  up_.emplace(shard_, std::move(in),
              FdToChannel::Options{ssh::DataKind::kStdout, std::move(options_.first_to_channel), {}, {}},
              [weak](Status status) {
                auto self = weak.lock();
                if (!self) return;
                if (!status) return self->end(std::move(status));
                self->up_ended_ = true;
                self->channel_.send_eof();
                self->half_done();
              });
  down_.emplace(shard_, std::move(out), [weak](Status status) {
    if (auto self = weak.lock()) self->end(std::move(status));
  });
  down_->start(channel_);
  up_->start(channel_);
  watch_idle();
}

void ChannelRelay::on_open_failed(ssh::OpenFailure, std::string_view text) {
  end(fail(ErrorCode::kUnavailable, "the channel was refused: {}", text));
}

void ChannelRelay::on_data(BytesView data, ssh::DataKind) {
  if (ended_ || !down_) return channel_.consumed(data.size());
  down_->write(data);
}

void ChannelRelay::on_eof() {
  if (!down_) return;
  down_->finish([weak = weak_from_this()](UniqueFd fd) {
    if (fd) ::shutdown(fd.get(), SHUT_WR);
    auto self = weak.lock();
    if (!self) return;
    self->down_ended_ = true;
    self->half_done();
    if (self->closed_) self->end({});
  });
}

void ChannelRelay::on_writable() {
  if (up_) up_->on_writable();
}

void ChannelRelay::on_closed() {
  closed_ = true;
  // A close without end of file still means that all data came: what is buffered is written first, for a while.
  if (ended_ || !down_ || down_ended_) return end({});
  shard_.cancel(idle_);
  idle_ = shard_.after(kLastWrites, [self = shared_from_this()] {
    self->idle_ = TimerId::kNone;
    self->end(fail(ErrorCode::kTimeout, "the socket did not take what the channel had sent"));
  });
  on_eof();
}

void ChannelRelay::half_done() {
  if (up_ended_ && down_ended_) end({});
}

void ChannelRelay::stop(Error why) { end(std::unexpected(std::move(why))); }

std::uint64_t ChannelRelay::bytes() const { return (up_ ? up_->bytes() : 0) + (down_ ? down_->bytes() : 0); }

void ChannelRelay::end(Status status) {
  if (ended_) return;
  ended_ = true;
  shard_.cancel(idle_);
  RelayEnd result{std::move(status), down_ ? down_->bytes() : 0, up_ ? up_->bytes() : 0};
  shard_.at_end_of_turn([self = shared_from_this(), result = std::move(result)]() mutable {
    self->channel_.close();
    self->up_.reset();
    self->down_.reset();
    self->socket_.reset();
    if (auto done = std::exchange(self->done_, nullptr)) done(std::move(result));
  });
}

void ChannelRelay::watch_idle() {
  if (options_.idle_timeout.count() == 0) return;
  idle_seen_ = down_->bytes() + up_->bytes();
  idle_ = shard_.after(options_.idle_timeout, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->ended_) return;
    self->idle_ = TimerId::kNone;
    if (self->down_->bytes() + self->up_->bytes() != self->idle_seen_) return self->watch_idle();
    self->stop({ErrorCode::kTimeout, "nothing was sent for too long"});
  });
}

}  // namespace mezite::net
