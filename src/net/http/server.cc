#include "net/http/server.hh"

#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "crypto/tls.hh"
#include "net/http/codec.hh"
#include "net/stream.hh"

namespace mezite::net::http {
namespace {

class Connection;

}  // namespace

struct Server::State {
  State(Router routes, MakeTls tls, Options opts)
      : router(std::move(routes)), make_tls(std::move(tls)), options(opts) {}
  const Router router;
  const MakeTls make_tls;
  const Options options;
  std::atomic<bool> draining{false};
  mutable std::mutex mutex;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;  // under mutex
};

namespace {

class Connection final : public StreamHandler, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server::State& state, std::unique_ptr<Stream> stream) : state_(state), stream_(std::move(stream)) {}

  void begin() {
    set_deadline(state_.options.header_timeout);
    parser_.emplace(state_.options.header_limit_bytes, state_.options.body_limit_bytes);
    stream_->start(*this);
  }

  void on_data(BytesView bytes) override {
    if (phase_ == Phase::kIdle) {
      phase_ = Phase::kHeader;
      set_deadline(state_.options.header_timeout);
    }
    in_.insert(in_.end(), bytes.begin(), bytes.end());
    parse();
  }
  void on_end() override {
    // A request that is being answered still gets its answer; the peer may have closed its half only.
    if (phase_ == Phase::kAnswering || phase_ == Phase::kWriting) {
      peer_ended_ = true;
      return;
    }
    end();
  }
  void on_writable() override {
    if (phase_ == Phase::kWriting) next();
  }
  void on_closed(const Error&) override { end(); }

  void drain() {
    if (phase_ == Phase::kIdle) end();
  }

  Shard& shard() { return stream_->shard(); }

 private:
  enum class Phase { kIdle, kHeader, kBody, kAnswering, kWriting, kEnded };

  void parse() {
    if (phase_ != Phase::kHeader && phase_ != Phase::kBody) {
      if (in_.size() > state_.options.header_limit_bytes) stream_->pause_reading();  // pipelined: later
      return;
    }
    auto taken = parser_->feed(in_);
    if (!taken) return refuse(taken.error());
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(*taken));
    if (!parser_->header_done()) {
      if (in_.size() > state_.options.header_limit_bytes)
        refuse({ErrorCode::kResourceExhausted, "the header is too large"});
      return;
    }
    if (phase_ == Phase::kHeader) {
      phase_ = Phase::kBody;
      set_deadline(state_.options.body_timeout);
      if (!parser_->done() && parser_->expects_continue()) stream_->write(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    if (!parser_->done()) return;
    dispatch();
  }

  void dispatch() {
    bool keep = parser_->keep_alive() && !peer_ended_;
    auto request = parser_->take();
    if (!request) return refuse(request.error());
    phase_ = Phase::kAnswering;
    clear_deadline();
    keep_alive_ = keep && ++requests_ < state_.options.requests_per_connection;
    with_body_ = request->method == "HEAD" ? WithBody::kNo : WithBody::kYes;
    request->peer = stream_->peer();
    Shard& on = shard();
    // A number, so that an answer that comes twice or late finds nothing.
    Responder responder([weak = weak_from_this(), &on, number = requests_](Response response) mutable {
      on.post([weak = std::move(weak), number, response = std::move(response)]() mutable {
        if (auto self = weak.lock(); self && self->requests_ == number) self->answer(std::move(response));
      });
    });
    state_.router.dispatch(std::move(*request), std::move(responder));
  }

  void answer(Response response) {
    if (phase_ != Phase::kAnswering) return;
    add_security_headers(response);
    if (state_.draining || peer_ended_) keep_alive_ = false;
    stream_->write(serialize(response, keep_alive_ ? Persistence::kKeepAlive : Persistence::kClose, with_body_));
    if (!keep_alive_) {
      stream_->close_after_flush(state_.options.write_timeout);
      return end();
    }
    // An answer that is not taken holds the next request back: what is kept for one peer stays bounded.
    if (!stream_->above_high_water()) return next();
    phase_ = Phase::kWriting;
    set_deadline(state_.options.write_timeout);
  }

  void next() {
    phase_ = in_.empty() ? Phase::kIdle : Phase::kHeader;
    set_deadline(in_.empty() ? state_.options.idle_timeout : state_.options.header_timeout);
    parser_.emplace(state_.options.header_limit_bytes, state_.options.body_limit_bytes);
    stream_->resume_reading();
    if (!in_.empty()) parse();
  }

  void refuse(const Error& why) {
    Response response = Response::error(why);
    if (why.code == ErrorCode::kResourceExhausted) response.status = parser_->body_over_limit() ? 413 : 431;
    if (why.code == ErrorCode::kTimeout) response.status = 408;
    add_security_headers(response);
    stream_->write(serialize(response, Persistence::kClose, WithBody::kYes));
    stream_->close_after_flush(std::chrono::seconds(2));
    end();
  }

  void set_deadline(std::chrono::milliseconds limit) {
    clear_deadline();
    timer_ = shard().after(limit, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      self->timer_ = TimerId::kNone;
      if (self->phase_ == Phase::kIdle || self->phase_ == Phase::kWriting ||
          (self->phase_ == Phase::kHeader && self->in_.empty()))
        return self->end();
      self->refuse({ErrorCode::kTimeout, "the request did not come in time"});
    });
  }
  void clear_deadline() { shard().cancel(timer_); }

  void end() {
    auto self = shared_from_this();
    clear_deadline();
    phase_ = Phase::kEnded;
    shard().at_end_of_turn([self] {});  // the stream may be calling; it goes with the connection
    std::lock_guard lock(state_.mutex);
    state_.connections.erase(this);
  }

  Server::State& state_;
  std::unique_ptr<Stream> stream_;
  std::optional<RequestParser> parser_;
  Bytes in_;
  TimerId timer_{};
  Phase phase_ = Phase::kHeader;
  std::size_t requests_ = 0;
  bool keep_alive_ = true;
  bool peer_ended_ = false;
  WithBody with_body_ = WithBody::kYes;
};

}  // namespace

Server::Server(Router router, MakeTls make_tls, Options options)
    : state_(std::make_shared<State>(std::move(router), std::move(make_tls), options)) {}

Server::~Server() {
  std::unordered_map<Connection*, std::shared_ptr<Connection>> left;
  std::lock_guard lock(state_->mutex);
  left.swap(state_->connections);
}

void Server::serve(Shard& shard, UniqueFd fd, Address peer) {
  std::unique_ptr<crypto::TlsEngine> tls;
  if (state_->make_tls) {
    tls = state_->make_tls();
    if (!tls) return;
  }
  StreamOptions options;
  options.tls_handshake_timeout = state_->options.header_timeout;
  std::shared_ptr<Connection> connection;
  {
    std::lock_guard lock(state_->mutex);
    if (state_->connections.size() >= state_->options.connection_limit) return;
    auto stream = std::make_unique<Stream>(shard, std::move(fd), std::move(peer), std::move(tls), options);
    connection = std::make_shared<Connection>(*state_, std::move(stream));
    state_->connections.emplace(connection.get(), connection);
  }
  connection->begin();
}

void Server::drain() {
  state_->draining = true;
  std::lock_guard lock(state_->mutex);
  for (auto& [raw, connection] : state_->connections) {
    connection->shard().post([weak = connection->weak_from_this()] {
      if (auto self = weak.lock()) self->drain();
    });
  }
}

std::size_t Server::connections() const {
  std::lock_guard lock(state_->mutex);
  return state_->connections.size();
}

}  // namespace mezite::net::http
