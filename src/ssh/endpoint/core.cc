#include "ssh/endpoint/core.hh"

#include <algorithm>
#include <utility>

#include "base/text.hh"

namespace mezite::ssh {
namespace {

constexpr std::size_t kAuthReadBytes = 16 * 1024;
constexpr std::size_t kConnectionReadBytes = 128 * 1024;
// Replies may pass the high-water mark of the channels; from here on nothing is read that could ask for more.
constexpr std::size_t kMaxRepliesBytes = 1u << 20;
constexpr std::size_t kMaxGoodbyeBytes = 512;

}  // namespace

// Marks a call of the driver: what happens inside needs no wakeup.
class EndpointCore::Entry {
 public:
  explicit Entry(EndpointCore& core) : core_(core.shared_from_this()) { ++core_->entries_; }
  ~Entry() { --core_->entries_; }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

 private:
  std::shared_ptr<EndpointCore> core_;
};

EndpointCore::EndpointCore(const Clock& clock, const ConnectionLimits& limits, const Keepalive& keepalive,
                           std::chrono::milliseconds auth_timeout)
    : clock_(clock), limits_(limits), keepalive_(keepalive), auth_deadline_(clock.steady() + auth_timeout) {}

EndpointCore::~EndpointCore() = default;

void EndpointCore::start(Result<std::unique_ptr<Transport>> transport) {
  if (transport) {
    transport_ = std::move(*transport);
    return;
  }
  error_ = std::move(transport).error();
  ended_ = true;
  closing_unreported_ = true;
}

// ---- the driver's side

std::span<std::uint8_t> EndpointCore::read_space() {
  if (ended_ || is_input_held()) return {};
  // Only what the peer could read counts: messages that wait for a key exchange go when it ends, and it ends by
  // reading.
  if (transport_->pending_output().size() > limits_.output_high_water_bytes + kMaxRepliesBytes) return {};
  return transport_->read_space(connection_ ? kConnectionReadBytes : kAuthReadBytes);
}

void EndpointCore::commit_read(std::size_t size) {
  if (ended_) return;
  Entry entry(*this);
  settle(transport_->commit_read(size));
}

void EndpointCore::release_input() {
  if (ended_) return;
  const auto keep = shared_from_this();
  {
    Entry entry(*this);
    settle(transport_->release_input());
  }
  touched();
}

void EndpointCore::on_stream_end(std::optional<Error> error) {
  if (ended_) return;
  Entry entry(*this);
  end(error ? std::move(*error) : Error{ErrorCode::kUnavailable, "the other end closed the connection"});
}

BytesView EndpointCore::pending_output() const {
  woken_ = false;
  return transport_ ? transport_->pending_output() : BytesView();
}

void EndpointCore::consume_output(std::size_t size) {
  if (!transport_) return;
  Entry entry(*this);
  transport_->consume_output(size);
  if (ended_ || !connection_) return;
  connection_->on_output_room();
  settle({});
}

std::optional<SteadyTime> EndpointCore::next_deadline() const {
  if (closing_unreported_) return clock_.steady();
  if (ended_) return std::nullopt;
  std::optional<SteadyTime> next = transport_->next_deadline();
  const auto add = [&next](const std::optional<SteadyTime>& other) {
    if (other && (!next || *other < *next)) next = other;
  };
  add(auth_deadline_);
  if (connection_) add(connection_->next_deadline());
  return next;
}

void EndpointCore::on_time() {
  Entry entry(*this);
  if (std::exchange(closing_unreported_, false)) report_closed(*error_);
  if (ended_) return;
  const SteadyTime now = clock_.steady();
  if (auth_deadline_ && now >= *auth_deadline_) {
    transport_->disconnect(DisconnectReason::kByApplication, "authentication took too long");
    end(Error{ErrorCode::kTimeout, "authentication took too long"});
    return;
  }
  const auto due = transport_->next_deadline();
  settle(due && now >= *due ? transport_->on_time() : Status{});
  if (ended_ || !connection_) return;
  settle(connection_->on_time());
}

// ---- inside

void EndpointCore::settle(Status status) {
  if (ended_) return;
  if (status && connection_ && connection_->broken()) status = std::unexpected(*connection_->broken());
  if (status && !transport_->closed()) return;
  if (peer_goodbye_) return end(*peer_goodbye_);
  if (status) return end(Error{ErrorCode::kUnavailable, "the connection is closed"});
  if (!transport_->closed()) {
    const bool broke = status.error().code == ErrorCode::kProtocol;
    transport_->disconnect(broke ? DisconnectReason::kProtocolError : DisconnectReason::kByApplication,
                           status.error().message);
  }
  end(std::move(status).error());
}

Status EndpointCore::on_packet(BytesView payload) {
  // Destroyed or ended by a handler: the transport must stop in the middle of what it has read.
  if (ended_ || detached_) return fail(ErrorCode::kFailedPrecondition, "the connection is over");
  constexpr std::uint8_t kFirstConnectionMessage = 80;
  if (payload[0] < kFirstConnectionMessage) return on_auth_packet(payload);
  if (!connection_) return fail(ErrorCode::kProtocol, "message {} before authentication", payload[0]);
  return connection_->on_packet(payload);
}

void EndpointCore::on_peer_disconnect(DisconnectReason reason, std::string_view text) {
  // Before authentication a goodbye is a refusal, whatever reason it names: sshd says PROTOCOL_ERROR for too many
  // failures.
  const bool refused = transport_->phase() == Phase::kUserauth;
  peer_goodbye_ = Error{refused ? ErrorCode::kUnauthenticated : ErrorCode::kUnavailable,
                        fmt::format("the other end disconnected: {} (reason {})",
                                    printable(text.substr(0, kMaxGoodbyeBytes)), static_cast<std::uint32_t>(reason))};
}

void EndpointCore::begin_connection(Role role) {
  auth_deadline_.reset();
  connection_ = std::make_shared<ConnectionCore>(*transport_, role, limits_, keepalive_, clock_, *this);
}

void EndpointCore::end(Error error) {
  if (ended_) return;
  const auto keep = shared_from_this();
  ended_ = true;
  error_ = std::move(error);
  auth_deadline_.reset();
  stop_auth();
  if (connection_) connection_->end();
  if (!detached_) report_closed(*error_);
  touched();
}

void EndpointCore::disconnect(std::string_view text) {
  if (ended_) return;
  transport_->disconnect(DisconnectReason::kByApplication, text);
  end(Error{ErrorCode::kFailedPrecondition, fmt::format("closed here: {}", text)});
}

void EndpointCore::detach() {
  detached_ = true;
  ended_ = true;
  wakeup_ = {};
  forget_handler();
  stop_auth();
  if (connection_) connection_->detach();
}

void EndpointCore::touched() {
  if (entries_ > 0 || woken_ || !wakeup_) return;
  woken_ = true;
  wakeup_();
}

Channel EndpointCore::open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler) {
  if (ended_ || !connection_) {
    handler->on_open_failed(OpenFailure::kConnectFailed, ended_ ? "the connection is over" : "not authenticated yet");
    return {};
  }
  return connection_->open_channel(open, std::move(handler));
}

void EndpointCore::global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply) {
  if (ended_ || !connection_) {
    if (on_reply) on_reply(std::nullopt);
    return;
  }
  connection_->global_request(name, payload, std::move(on_reply));
}

}  // namespace mezite::ssh
