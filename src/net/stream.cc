#include "net/stream.hh"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/byte_queue.hh"
#include "crypto/tls.hh"

namespace mezite::net {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kReadsPerTurn = 8;  // then others have their turn

}  // namespace

class Stream::Body : public std::enable_shared_from_this<Body> {
 public:
  Body(Shard& on, UniqueFd socket, Address from, std::unique_ptr<crypto::TlsEngine> engine, Options opts)
      : shard(on), fd(std::move(socket)), peer(std::move(from)), tls(std::move(engine)), options(opts) {}

  void begin() {
    Status watched = shard.watch(fd.get(), Interest::kNone, Trigger::kLevel,
                                 [self = shared_from_this()](Ready ready) { self->on_ready(ready); });
    if (!watched) {
      shard.at_end_of_turn([self = shared_from_this(), why = watched.error()] { self->broken(why); });
    }
    if (tls) {
      if (tls->has_ciphertext()) schedule();  // a client's first flight
      handshake_timer = shard.after(options.tls_handshake_timeout, [self = shared_from_this()] {
        self->broken({ErrorCode::kTimeout, "the peer did not finish the TLS handshake in time"});
      });
    }
  }

  void start(StreamHandler& to, Bytes already_read) {
    handler = &to;
    early = std::move(already_read);
    started = early.empty();
    if (started) return resume();
    schedule();
  }

  void write(BytesView bytes) {
    if (!is_open() || shutdown_wanted || lingering || bytes.empty()) return;
    if (tls) {
      if (Status written = tls->write(bytes); !written) pending_failure = written.error();
    } else {
      out.append(bytes);
    }
    if (buffered() > options.high_water) above_mark = true;
    schedule();
  }

  std::size_t buffered() const { return tls ? tls->peek_ciphertext().size() : out.size(); }

  void resume() {
    paused = false;
    if (tls) schedule();  // plaintext may wait inside the engine
    update_interest();
  }

  void shutdown_write() {
    shutdown_wanted = true;
    schedule();
  }

  void linger(std::chrono::milliseconds limit) {
    if (!is_open()) return;
    handler = nullptr;
    lingering = true;
    shutdown_wanted = true;
    paused = false;
    started = true;
    shard.cancel(handshake_timer);
    linger_timer = shard.after(limit, [self = shared_from_this()] { self->close(); });
    update_interest();
    schedule();
  }

  void close() {
    handler = nullptr;
    shard.cancel(handshake_timer);
    shard.cancel(linger_timer);
    if (fd) shard.unwatch(fd.get());
    fd.reset();
  }

  bool is_open() const { return bool(fd); }

  void schedule() {
    if (scheduled || !is_open()) return;
    scheduled = true;
    shard.at_end_of_turn([self = shared_from_this()] {
      self->scheduled = false;
      self->work();
    });
  }

  Shard& shard;
  UniqueFd fd;
  Address peer;
  std::unique_ptr<crypto::TlsEngine> tls;
  Options options;
  StreamHandler* handler = nullptr;
  bool above_mark = false;
  bool paused = true;
  bool lingering = false;

 private:
  void on_ready(Ready ready) {
    auto self = shared_from_this();
    if (ready.writable) flush();
    if (is_open() && ready.readable) read_socket();
    if (is_open()) update_interest();
  }

  // What start(), write() and resume_reading() left to the end of the turn.
  void work() {
    auto self = shared_from_this();
    if (pending_failure) return broken(*std::exchange(pending_failure, std::nullopt));
    if (!early.empty() && handler != nullptr) {
      started = true;
      paused = false;
      Bytes bytes = std::exchange(early, {});
      take(bytes);
      if (!is_open()) return;
    }
    if (tls && started && !paused) drain_tls();
    if (!is_open()) return;
    flush();
    if (is_open()) update_interest();
  }

  bool handshaking() const { return tls && !tls->handshake_done(); }

  void update_interest() {
    if (!is_open()) return;
    // A handshake needs to read whatever its user says; it needs a user first, though.
    bool read = started && !read_ended && (!paused || (handshaking() && handler != nullptr));
    auto bits = (read ? 1 : 0) | (blocked ? 2 : 0);
    shard.modify(fd.get(), static_cast<Interest>(bits));
  }

  void read_socket() {
    thread_local std::array<std::uint8_t, kReadBytes> buffer;
    for (int i = 0; i < kReadsPerTurn && is_open() && started && !read_ended && (!paused || handshaking()); ++i) {
      ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return broken({ErrorCode::kIo, std::strerror(errno)});
      if (n == 0) return ended();
      take({buffer.data(), static_cast<std::size_t>(n)});
      if (static_cast<std::size_t>(n) < buffer.size()) return;
    }
  }

  void take(BytesView bytes) {
    if (lingering) return;
    if (!tls) {
      if (handler != nullptr) handler->on_data(bytes);
      return;
    }
    if (Status fed = tls->feed(bytes); !fed) {
      flush();  // the alert
      return broken(fed.error());
    }
    if (tls->has_ciphertext()) schedule();
    drain_tls();
  }

  void drain_tls() {
    if (!secured && tls->handshake_done()) {
      secured = true;
      shard.cancel(handshake_timer);
      if (handler != nullptr) handler->on_secured();
    }
    thread_local std::array<std::uint8_t, kReadBytes> buffer;
    while (is_open() && secured && !paused && !lingering && handler != nullptr) {
      auto got = tls->read(std::span(buffer));
      if (!got) return broken(got.error());
      if (*got == 0) break;
      handler->on_data({buffer.data(), *got});
    }
    if (is_open() && handler != nullptr && !paused && tls->peer_closed()) ended();
  }

  void ended() {
    if (tls && !tls->peer_closed() && !lingering) {
      tls->feed_end();
      return broken({ErrorCode::kIo, "the peer cut the TLS connection off"});
    }
    if (read_ended) return;
    read_ended = true;
    if (lingering) {
      if (buffered() == 0) close();
      return;
    }
    update_interest();
    if (handler != nullptr) handler->on_end();
  }

  void flush() {
    blocked = false;
    for (;;) {
      BytesView bytes = tls ? tls->peek_ciphertext() : BytesView(out.filled());
      if (bytes.empty()) break;
      ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) {
        blocked = true;
        break;
      }
      if (n < 0) return broken({ErrorCode::kIo, std::strerror(errno)});
      sent(static_cast<std::size_t>(n));
    }
    if (above_mark && buffered() <= options.low_water) {
      above_mark = false;
      if (handler != nullptr) handler->on_writable();
      if (!is_open()) return;
    }
    if (buffered() == 0 && shutdown_wanted && !shutdown_done && !handshaking()) finish_output();
    if (buffered() == 0 && lingering && (read_ended || handshaking())) close();
  }

  void sent(std::size_t size) {
    if (tls) return tls->drop_ciphertext(size);
    out.consume(size);
  }

  void finish_output() {
    if (tls && !notified) {
      notified = true;
      if (tls->close_notify() && tls->has_ciphertext()) return flush();
    }
    shutdown_done = true;
    ::shutdown(fd.get(), SHUT_WR);
  }

  void broken(const Error& why) {
    if (!is_open()) return;
    auto self = shared_from_this();
    StreamHandler* told = std::exchange(handler, nullptr);
    close();
    if (told != nullptr) told->on_closed(why);
  }

  ByteQueue out;
  Bytes early;
  std::optional<Error> pending_failure;
  TimerId handshake_timer{};
  TimerId linger_timer{};
  bool started = false;
  bool secured = false;
  bool read_ended = false;
  bool blocked = false;
  bool scheduled = false;
  bool shutdown_wanted = false;
  bool shutdown_done = false;
  bool notified = false;
};

Stream::Stream(Shard& shard, UniqueFd fd, Address peer, Options options)
    : Stream(shard, std::move(fd), std::move(peer), nullptr, options) {}

Stream::Stream(Shard& shard, UniqueFd fd, Address peer, std::unique_ptr<crypto::TlsEngine> tls, Options options)
    : body_(std::make_shared<Body>(shard, std::move(fd), std::move(peer), std::move(tls), options)) {
  body_->begin();
}

Stream::~Stream() {
  if (!body_->lingering) body_->close();
}

void Stream::start(StreamHandler& handler, Bytes already_read) { body_->start(handler, std::move(already_read)); }
void Stream::write(BytesView bytes) { body_->write(bytes); }
bool Stream::above_high_water() const { return body_->above_mark; }
std::size_t Stream::buffered() const { return body_->buffered(); }
void Stream::pause_reading() {
  if (body_->paused) return;
  body_->paused = true;
  body_->schedule();
}
void Stream::resume_reading() { body_->resume(); }
void Stream::shutdown_write() { body_->shutdown_write(); }
void Stream::close_after_flush(std::chrono::milliseconds limit) { body_->linger(limit); }
void Stream::close() { body_->close(); }
bool Stream::is_open() const { return body_->is_open(); }
const Address& Stream::peer() const { return body_->peer; }
Shard& Stream::shard() const { return body_->shard; }
crypto::TlsEngine* Stream::tls() const { return body_->tls.get(); }

}  // namespace mezite::net
