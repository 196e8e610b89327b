#include "net/ssh_link.hh"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ssh/endpoint/endpoint.hh"

namespace mezite::net {
namespace {

constexpr int kReadsPerTurn = 4;
constexpr int kWritesPerTurn = 16;
constexpr std::uint64_t kLoginBytes = 16384;

}  // namespace

class SshLink::Body : public std::enable_shared_from_this<Body>, public StreamHandler {
 public:
  Body(Shard& on, UniqueFd socket, std::unique_ptr<Stream> wrapped, std::unique_ptr<ssh::Endpoint> what, Bytes first,
       Ended told, Options opts)
      : shard(on),
        endpoint(std::move(what)),
        fd(std::move(socket)),
        stream(std::move(wrapped)),
        early(std::move(first)),
        ended(std::move(told)),
        options(opts) {}

  void begin() {
    endpoint->set_wakeup([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->schedule();
    });
    if (stream) {
      stream->start(*this);
    } else {
      Status watched = shard.watch(fd.get(), early.empty() ? Interest::kRead : Interest::kNone, Trigger::kLevel,
                                   [self = shared_from_this()](Ready ready) { self->on_ready(ready); });
      if (!watched) finish_with(std::unexpected(watched.error()));
    }
    schedule();
  }

  void schedule() {
    if (scheduled || over) return;
    scheduled = true;
    shard.at_end_of_turn([self = shared_from_this()] {
      self->scheduled = false;
      self->work();
    });
  }

  void close() {
    closing = true;
    schedule();
  }

  void finish_with(Status status) {
    if (!result) result = std::move(status);
    schedule();
  }

  // The owner is gone: nothing is called any more.
  void drop() {
    ended = nullptr;
    release();
  }

  Shard& shard;
  std::unique_ptr<ssh::Endpoint> endpoint;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;

 private:
  void on_ready(Ready ready) {
    auto self = shared_from_this();
    if (ready.readable) read_socket();
    if (!over) schedule();
  }

  bool may_read() {
    return !over && !result && !closing && !endpoint->wants_close() && !endpoint->read_space().empty();
  }

  void read_socket() {
    for (int i = 0; i < kReadsPerTurn && may_read(); ++i) {
      auto space = endpoint->read_space();
      std::size_t room = std::min(space.size(), options.read_bytes);
      ssize_t n = ::recv(fd.get(), space.data(), room, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return endpoint->commit_read(0);
      if (n < 0) return stream_ended(Error{ErrorCode::kIo, std::strerror(errno)});
      if (n == 0) return stream_ended(std::nullopt);
      bytes_in += static_cast<std::uint64_t>(n);
      if (bytes_in <= kLoginBytes) acknowledge_at_once();
      endpoint->commit_read(static_cast<std::size_t>(n));
      if (static_cast<std::size_t>(n) < room) return;
    }
  }

  // Clients log in with Nagle's algorithm on: their second small packet would wait for an acknowledgement that the
  // kernel delays by 40 ms. The kernel forgets the option, hence after each read.
  void acknowledge_at_once() {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
  }

  // Copies bytes that are in memory already; false: the endpoint wants no more now.
  bool take(Bytes& bytes) {
    std::size_t used = 0;
    while (used < bytes.size() && may_read()) {
      auto space = endpoint->read_space();
      std::size_t n = std::min(space.size(), bytes.size() - used);
      std::memcpy(space.data(), bytes.data() + used, n);
      used += n;
      bytes_in += n;
      endpoint->commit_read(n);
    }
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(used));
    return bytes.empty();
  }

  void stream_ended(std::optional<Error> error) {
    if (over || result) return;
    Status status;
    if (error) status = std::unexpected(*error);
    result = status;
    endpoint->on_stream_end(std::move(error));
    if (!over) schedule();
  }

  void on_data(BytesView bytes) override {
    auto self = shared_from_this();
    early.insert(early.end(), bytes.begin(), bytes.end());
    if (!take(early) && !over) stream->pause_reading();
    if (!over) schedule();
  }
  void on_end() override { stream_ended(std::nullopt); }
  void on_writable() override { schedule(); }
  void on_closed(const Error& why) override { stream_ended(why); }

  // End of turn: everything that the turn produced goes out in one write.
  void work() {
    if (over) return;
    auto self = shared_from_this();
    if (result) return finish();
    if (!early.empty()) {
      take(early);
      if (over) return;
      if (result) return finish();
    }
    write_output();
    if (over) return;
    if (result) return finish();
    bool flushed = endpoint->pending_output().empty();
    if (endpoint->wants_close() || closing) {
      if (flushed) {
        result = Status();
        return finish();
      }
      if (close_timer == TimerId::kNone) {
        close_timer = shard.after(options.close_limit, [self] { self->finish_with({}); });
      }
    }
    update();
  }

  void write_output() {
    blocked = false;
    for (int i = 0; i < kWritesPerTurn; ++i) {
      BytesView out = endpoint->pending_output();
      if (out.empty()) return;
      std::size_t written = 0;
      if (stream) {
        if (stream->above_high_water()) return;
        stream->write(out);
        written = out.size();
      } else {
        ssize_t n = ::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
          blocked = true;
          return;
        }
        if (n < 0) return stream_ended(Error{ErrorCode::kIo, std::strerror(errno)});
        written = static_cast<std::size_t>(n);
      }
      bytes_out += written;
      endpoint->consume_output(written);
      if (over || result) return;
    }
    schedule();  // more came out while it was written: others first
  }

  void update() {
    bool read = may_read();
    if (stream) {
      if (read && early.empty()) stream->resume_reading();
      if (read && !early.empty()) schedule();
    } else {
      if (read && !early.empty()) {
        schedule();
        read = false;
      }
      shard.modify(fd.get(), static_cast<Interest>((read ? 1 : 0) | (blocked ? 2 : 0)));
    }
    auto deadline = endpoint->next_deadline();
    if (!deadline) return shard.cancel(timer);
    // A timer that is set for an earlier moment finds the later deadline by itself; most deadlines only move away.
    if (timer != TimerId::kNone && timer_due <= *deadline) return;
    shard.cancel(timer);
    timer_due = *deadline;
    timer = shard.after(*deadline - shard.now(), [self = shared_from_this()] {
      self->timer = TimerId::kNone;
      if (self->over) return;
      auto due = self->endpoint->next_deadline();
      if (due && *due <= self->shard.now()) self->endpoint->on_time();
      if (!self->over) self->schedule();
    });
  }

  void finish() {
    Status status = result.value_or(Status());
    Ended told = std::exchange(ended, nullptr);
    // Input that was not read would turn the close into a reset, which takes the last output with it.
    if (fd) ::shutdown(fd.get(), SHUT_WR);
    if (fd) drain_input();
    if (stream && status) stream->close_after_flush(options.close_limit);
    close_io();
    if (told) told(std::move(status));
  }

  void drain_input() {
    std::uint8_t scrap[4096];
    for (int i = 0; i < 64 && ::recv(fd.get(), scrap, sizeof scrap, 0) > 0; ++i) {
    }
  }

  void close_io() {
    over = true;
    shard.cancel(timer);
    shard.cancel(close_timer);
    if (fd) shard.unwatch(fd.get());
    fd.reset();
    stream.reset();
  }

  void release() {
    close_io();
    endpoint.reset();
  }

  UniqueFd fd;
  std::unique_ptr<Stream> stream;
  Bytes early;
  Ended ended;
  Options options;
  std::optional<Status> result;
  TimerId timer{};
  SteadyTime timer_due{};
  TimerId close_timer{};
  bool scheduled = false;
  bool blocked = false;
  bool closing = false;
  bool over = false;
};

SshLink::SshLink(Shard& shard, UniqueFd fd, std::unique_ptr<ssh::Endpoint> endpoint, Bytes first_bytes, Ended ended,
                 Options options)
    : body_(std::make_shared<Body>(shard, std::move(fd), nullptr, std::move(endpoint), std::move(first_bytes),
                                   std::move(ended), options)) {
  body_->begin();
}

SshLink::SshLink(std::unique_ptr<Stream> stream, std::unique_ptr<ssh::Endpoint> endpoint, Ended ended,
                 Options options) {
  Shard& shard = stream->shard();
  body_ = std::make_shared<Body>(shard, UniqueFd(), std::move(stream), std::move(endpoint), Bytes{}, std::move(ended),
                                 options);
  body_->begin();
}

SshLink::~SshLink() { body_->drop(); }

ssh::Endpoint& SshLink::endpoint() { return *body_->endpoint; }
Shard& SshLink::shard() { return body_->shard; }
void SshLink::close() { body_->close(); }
void SshLink::abort(Error why) { body_->finish_with(std::unexpected(std::move(why))); }
std::uint64_t SshLink::bytes_in() const { return body_->bytes_in; }
std::uint64_t SshLink::bytes_out() const { return body_->bytes_out; }

}  // namespace mezite::net
