#include "net/relay.hh"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace mezite::net {
namespace {

constexpr int kStepsPerTurn = 16;  // splices before others have their turn

// One direction: source → pipe → sink.
struct Flow {
  int source = -1;
  int sink = -1;
  UniqueFd pipe_out;  // read from
  UniqueFd pipe_in;   // write to
  std::size_t pipe_bytes = 0;
  Bytes first;
  std::size_t first_sent = 0;
  std::size_t held = 0;  // bytes in the pipe
  std::uint64_t moved = 0;
  bool source_ended = false;
  bool sink_blocked = false;
  bool done = false;
  std::optional<Error> error;

  Status open(int wanted_bytes) {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return fail_errno(errno, "making a pipe for a relay");
    pipe_out.reset(ends[0]);
    pipe_in.reset(ends[1]);
    ::fcntl(ends[1], F_SETPIPE_SZ, wanted_bytes);  // refused past the user's limit: the default size works too
    int size = ::fcntl(ends[1], F_GETPIPE_SZ);
    pipe_bytes = size > 0 ? static_cast<std::size_t>(size) : 4096;
    return {};
  }

  void broke(int errno_value) {
    if (!error) error = Error{ErrorCode::kIo, std::strerror(errno_value)};
  }

  // True when something moved.
  bool fill() {
    if (first_sent < first.size()) {
      ssize_t n = ::write(pipe_in.get(), first.data() + first_sent, first.size() - first_sent);
      if (n <= 0) return false;
      first_sent += static_cast<std::size_t>(n);
      held += static_cast<std::size_t>(n);
      if (first_sent == first.size()) first = {}, first_sent = 0;
      return true;
    }
    if (source_ended || held >= pipe_bytes) return false;
    ssize_t n = ::splice(source, nullptr, pipe_in.get(), nullptr, pipe_bytes - held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      held += static_cast<std::size_t>(n);
      return true;
    }
    if (n == 0) {
      source_ended = true;
      return true;
    }
    if (errno == EAGAIN || errno == EINTR) return errno == EINTR;  // nothing there, or no free slot in the pipe
    broke(errno);
    source_ended = true;
    return true;
  }

  bool drain() {
    if (held == 0) return false;
    ssize_t n = ::splice(pipe_out.get(), nullptr, sink, nullptr, held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      held -= static_cast<std::size_t>(n);
      moved += static_cast<std::uint64_t>(n);
      return true;
    }
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) {
      sink_blocked = true;
      return false;
    }
    // The sink takes no more. What it said before may still be on its way the other way, which goes on.
    broke(n < 0 ? errno : EPIPE);
    done = true;
    return false;
  }

  void pump() {
    sink_blocked = false;
    for (int step = 0; step < kStepsPerTurn && !done; ++step) {
      bool filled = fill();
      bool drained = drain();
      if (source_ended && held == 0 && first_sent >= first.size() && !done) {
        ::shutdown(sink, SHUT_WR);
        done = true;
      }
      if (!filled && !drained) return;
      if (sink_blocked) return;
    }
  }

  // Input is asked for with an empty pipe only: while the sink is blocked, its readiness wakes this flow, which then
  // reads as well.
  bool wants_read() const { return !done && !source_ended && !sink_blocked; }
};

}  // namespace

class Relay::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(Shard& on, UniqueFd first, UniqueFd second, RelayOptions opts, std::move_only_function<void(RelayEnd)> told)
      : shard(on), a(std::move(first)), b(std::move(second)), options(std::move(opts)), done(std::move(told)) {}

  void begin() {
    auto self = shared_from_this();
    Status status = to_b.open(options.pipe_bytes);
    if (status) status = to_a.open(options.pipe_bytes);
    to_b.source = to_a.sink = a.get();
    to_b.sink = to_a.source = b.get();
    to_b.first = std::move(options.first_to_b);
    to_a.first = std::move(options.first_to_a);
    if (status) {
      status = shard.watch(a.get(), Interest::kNone, Trigger::kLevel,
                           [self](Ready ready) { self->on_ready(self->to_b, self->to_a, ready); });
    }
    if (status) {
      status = shard.watch(b.get(), Interest::kNone, Trigger::kLevel,
                           [self](Ready ready) { self->on_ready(self->to_a, self->to_b, ready); });
    }
    if (!status) return stop(status.error());
    shard.at_end_of_turn([self] {
      self->to_b.pump();
      self->to_a.pump();
      self->after_pump();
    });
    watch_idle();
  }

  void stop(Error why) {
    if (ended) return;
    ended = true;
    result = std::unexpected(std::move(why));
    shard.at_end_of_turn([self = shared_from_this()] { self->report(); });
  }

  void drop() {
    done = nullptr;
    ended = true;
    close();
  }

  Shard& shard;
  Flow to_b;
  Flow to_a;

 private:
  // `from` reads from this socket, `into` writes to it.
  void on_ready(Flow& from, Flow& into, Ready ready) {
    if (ended) return;
    if (ready.writable) into.pump();
    if (ready.readable) from.pump();
    after_pump();
  }

  void after_pump() {
    if (ended) return;
    if (to_a.done && to_b.done) {
      ended = true;
      if (to_a.error) result = std::unexpected(*to_a.error);
      if (to_b.error) result = std::unexpected(*to_b.error);
      return report();
    }
    interest(a.get(), to_b.wants_read(), !to_a.done && to_a.sink_blocked);
    interest(b.get(), to_a.wants_read(), !to_b.done && to_b.sink_blocked);
  }

  void interest(int fd, bool read, bool write) {
    shard.modify(fd, static_cast<Interest>((read ? 1 : 0) | (write ? 2 : 0)));
  }

  void watch_idle() {
    if (options.idle_timeout.count() == 0) return;
    idle_seen = to_a.moved + to_b.moved;
    idle = shard.after(options.idle_timeout, [self = shared_from_this()] {
      self->idle = TimerId::kNone;
      if (self->ended) return;
      if (self->to_a.moved + self->to_b.moved != self->idle_seen) return self->watch_idle();
      self->stop({ErrorCode::kTimeout, "nothing was sent for too long"});
    });
  }

  void report() {
    auto told = std::exchange(done, nullptr);
    close();
    if (told) told(RelayEnd{result, to_b.moved, to_a.moved});
  }

  void close() {
    shard.cancel(idle);
    if (a) shard.unwatch(a.get());
    if (b) shard.unwatch(b.get());
    a.reset();
    b.reset();
    for (Flow* flow : {&to_a, &to_b}) {
      flow->pipe_in.reset();
      flow->pipe_out.reset();
    }
  }

  UniqueFd a;
  UniqueFd b;
  RelayOptions options;
  std::move_only_function<void(RelayEnd)> done;
  Status result;
  TimerId idle{};
  std::uint64_t idle_seen = 0;
  bool ended = false;
};

Relay::Relay(std::shared_ptr<Body> body) : body_(std::move(body)) {}

std::unique_ptr<Relay> Relay::start(Shard& shard, UniqueFd a, UniqueFd b, RelayOptions options,
                                    std::move_only_function<void(RelayEnd)> done) {
  auto body = std::make_shared<Body>(shard, std::move(a), std::move(b), std::move(options), std::move(done));
  body->begin();
  return std::unique_ptr<Relay>(new Relay(std::move(body)));
}

Relay::~Relay() { body_->drop(); }
void Relay::stop(Error why) { body_->stop(std::move(why)); }
std::uint64_t Relay::a_to_b_bytes() const { return body_->to_b.moved; }
std::uint64_t Relay::b_to_a_bytes() const { return body_->to_a.moved; }

}  // namespace mezite::net
