#include "ssh/connection/connection.hh"

#include <algorithm>
#include <utility>

#include "ssh/connection/request_codec.hh"
#include "ssh/wire/connection_messages.hh"

namespace mezite::ssh {
namespace {

// A peer that wants its data in smaller pieces would make us send more headers than data.
constexpr std::uint32_t kMinPeerPacketBytes = 256;
constexpr std::uint32_t kMaxSendBytes = 64 * 1024;
constexpr std::uint32_t kMaxEnvRequests = 256;  // for each channel
constexpr std::uint32_t kMaxOpenTextBytes = 1024;

template <class... Ts, class Variant>
bool holds_any(const Variant& value) {
  return (std::holds_alternative<Ts>(value) || ...);
}

ConnectionLimits checked(ConnectionLimits limits) {
  limits.max_packet_bytes = std::clamp<std::uint32_t>(limits.max_packet_bytes, 1024, 64 * 1024);
  limits.window_bytes = std::clamp<std::uint32_t>(limits.window_bytes, 2 * limits.max_packet_bytes, 1u << 30);
  limits.max_window_bytes = std::clamp<std::uint32_t>(limits.max_window_bytes, limits.window_bytes, 1u << 30);
  if (!limits.window_budget) limits.window_budget = &WindowBudget::of_process();
  return limits;
}

}  // namespace

ConnectionCore::ConnectionCore(Transport& transport, Role role, const ConnectionLimits& limits,
                               const Keepalive& keepalive, const Clock& clock, ConnectionOwner& owner)
    : transport_(&transport),
      role_(role),
      limits_(checked(limits)),
      keepalive_(keepalive),
      clock_(clock),
      owner_(&owner) {
  arm_keepalive();
}

ConnectionCore::~ConnectionCore() { detach(); }

Status ConnectionCore::on_packet(BytesView payload) {
  if (!transport_ || payload.empty()) return fail(ErrorCode::kFailedPrecondition, "the connection is over");
  heard_ = true;
  const auto number = static_cast<MessageNumber>(payload[0]);
  Status status;
  switch (number) {
    case MessageNumber::kGlobalRequest: status = on_global_request(payload); break;
    case MessageNumber::kRequestSuccess:
    case MessageNumber::kRequestFailure: status = on_global_reply(number, payload); break;
    case MessageNumber::kChannelOpen: status = on_open(payload); break;
    default: status = on_channel_message(number, payload); break;
  }
  if (status && broken_) return std::unexpected(*broken_);
  return status;
}

Status ConnectionCore::on_channel_message(MessageNumber number, BytesView payload) {
  if (number < MessageNumber::kChannelOpenConfirmation || number > MessageNumber::kChannelFailure) {
    return fail(ErrorCode::kProtocol, "unexpected message {}", static_cast<unsigned>(number));
  }
  Reader in(payload.subspan(1));
  const std::uint32_t id = in.u32();
  if (in.failed()) return fail(ErrorCode::kProtocol, "malformed {}", message_name(payload[0]));
  if (id >= slots_.size() || !slots_[id]) {
    return fail(ErrorCode::kProtocol, "{} for an unknown channel", message_name(payload[0]));
  }
  const ChannelRef channel = slots_[id];
  const auto next = channel_transition(channel->state, number);
  if (!next) {
    return fail(ErrorCode::kProtocol, "{} on a channel that is {}", message_name(payload[0]),
                channel_state_name(channel->state));
  }
  const ChannelState before = std::exchange(channel->state, *next);
  switch (number) {
    case MessageNumber::kChannelOpenConfirmation: return on_open_confirmation(channel, payload);
    case MessageNumber::kChannelOpenFailure: return on_open_failure(channel, payload);
    case MessageNumber::kChannelWindowAdjust: return on_window_adjust(channel, payload);
    case MessageNumber::kChannelData:
    case MessageNumber::kChannelExtendedData: return on_data(channel, number, payload);
    case MessageNumber::kChannelEof:
      MEZ_CHECK(in.finish("EOF"));
      if (*next == ChannelState::kEofReceived) {
        const auto handler = channel->handler;
        handler->on_eof();
      }
      return {};
    case MessageNumber::kChannelRequest: return on_request(channel, payload);
    case MessageNumber::kChannelSuccess: return on_reply(channel, true, payload);
    case MessageNumber::kChannelFailure: return on_reply(channel, false, payload);
    case MessageNumber::kChannelClose:
      MEZ_CHECK(in.finish("CLOSE"));
      if (before == ChannelState::kOpen || before == ChannelState::kEofReceived) {
        send_for(MessageNumber::kChannelClose, channel->peer_id);
      }
      finish(channel);
      return {};
    default: return fail(ErrorCode::kProtocol, "unexpected message");
  }
}

// ---- opens

Status ConnectionCore::on_open(BytesView payload) {
  MEZ_TRY(auto message, decode<wire::ChannelOpen>(payload));
  auto open = parse_channel_open(message.type, message.parameters.bytes);
  if (!open && open.error().code == ErrorCode::kProtocol) return std::unexpected(std::move(open).error());
  const auto refuse = [&](OpenFailure reason, std::string_view text) -> Status {
    send_open_failure(message.sender, reason, text);
    return {};
  };
  if (!open) return refuse(OpenFailure::kConnectFailed, open.error().message);
  // RFC 4254 §6.1, §6.3.2, §7.2: sessions and direct connections are opened by clients only, the others by servers
  // only.
  const bool by_client = holds_any<SessionOpen, DirectTcpipOpen, DirectStreamlocalOpen>(*open);
  const bool by_server = holds_any<ForwardedTcpipOpen, ForwardedStreamlocalOpen, AgentOpen, X11Open>(*open);
  if ((by_client && role_ == Role::kClient) || (by_server && role_ == Role::kServer)) {
    return refuse(OpenFailure::kAdministrativelyProhibited, "not in this direction");
  }
  if (no_more_sessions_ && std::holds_alternative<SessionOpen>(*open)) {
    return refuse(OpenFailure::kAdministrativelyProhibited, "no more sessions");
  }
  if (message.max_packet < kMinPeerPacketBytes) {
    return refuse(OpenFailure::kResourceShortage, "maximum packet size is too small");
  }
  if (pending_opens_ >= limits_.max_pending_opens) {
    return refuse(OpenFailure::kResourceShortage, "too many channels wait to be opened");
  }
  const ChannelRef channel = add_channel(ChannelState::kDeciding);
  if (!channel) return refuse(OpenFailure::kResourceShortage, "too many channels");
  ++pending_opens_;
  channel->peer_id = message.sender;
  channel->peer_window = message.window;
  channel->max_send = std::min(message.max_packet, kMaxSendBytes);
  owner_->on_channel_open(*open, ChannelOpenResponder(channel));
  return {};
}

Channel ConnectionCore::accept_open(const ChannelRef& channel, std::shared_ptr<ChannelHandler> handler) {
  if (!transport_ || channel->state != ChannelState::kDeciding) return {};
  const ChannelRef keep = channel;
  const auto self = shared_from_this();
  --pending_opens_;
  keep->state = ChannelState::kOpen;
  keep->handler = handler;
  keep->window = keep->window_target = limits_.window_bytes;
  scratch_.clear();
  encode_to(scratch_,
            wire::ChannelOpenConfirmation{keep->peer_id, keep->id, keep->window, limits_.max_packet_bytes, {}});
  send(scratch_);
  handler->on_open(Channel(keep));
  return Channel(keep);
}

void ConnectionCore::reject_open(ChannelCore& channel, OpenFailure reason, std::string_view text) {
  if (!transport_ || channel.state != ChannelState::kDeciding) return;
  --pending_opens_;
  const std::uint32_t peer_id = channel.peer_id;
  remove(channel);
  send_open_failure(peer_id, reason, text);
}

void ConnectionCore::send_open_failure(std::uint32_t recipient, OpenFailure reason, std::string_view text) {
  scratch_.clear();
  encode_to(scratch_, wire::ChannelOpenFailure{recipient, static_cast<ChannelOpenFailureReason>(reason),
                                               std::string(text.substr(0, kMaxOpenTextBytes)), ""});
  send(scratch_);
}

Channel ConnectionCore::open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler) {
  if (!transport_) {
    handler->on_open_failed(OpenFailure::kConnectFailed, "the connection is over");
    return {};
  }
  const ChannelRef channel = add_channel(ChannelState::kOpening);
  if (!channel) {
    handler->on_open_failed(OpenFailure::kResourceShortage, "too many channels");
    return {};
  }
  channel->handler = std::move(handler);
  channel->window = channel->window_target = limits_.window_bytes;
  const Bytes parameters = encode_payload(open);
  scratch_.clear();
  encode_to(scratch_, wire::ChannelOpen{std::string(channel_type(open)), channel->id, channel->window,
                                        limits_.max_packet_bytes, Rest{parameters}});
  send(scratch_);
  return Channel(channel);
}

Status ConnectionCore::on_open_confirmation(const ChannelRef& channel, BytesView payload) {
  auto message = decode<wire::ChannelOpenConfirmation>(payload);
  if (message && message->max_packet < kMinPeerPacketBytes) {
    message = fail(ErrorCode::kProtocol, "maximum packet size of {} is too small", message->max_packet);
  }
  if (!message) {
    channel->state = ChannelState::kOpening;  // end() tells the handler, which has not heard of an open channel
    return std::unexpected(std::move(message).error());
  }
  channel->peer_id = message->sender;
  channel->peer_window = message->window;
  channel->max_send = std::min(message->max_packet, kMaxSendBytes);
  if (channel->close_when_open) {
    channel->state = ChannelState::kClosing;
    send_for(MessageNumber::kChannelClose, channel->peer_id);
    return {};
  }
  const auto handler = channel->handler;
  handler->on_open(Channel(channel));
  return {};
}

Status ConnectionCore::on_open_failure(const ChannelRef& channel, BytesView payload) {
  auto message = decode<wire::ChannelOpenFailure>(payload);
  const auto handler = channel->handler;
  if (!message) {
    channel->state = ChannelState::kOpening;  // end() tells the handler
    return std::unexpected(std::move(message).error());
  }
  remove(*channel);
  handler->on_open_failed(static_cast<OpenFailure>(message->reason), message->description);
  return {};
}

// ---- the channel's life

ConnectionCore::ChannelRef ConnectionCore::add_channel(ChannelState state) {
  if (channel_count_ >= limits_.max_channels) return nullptr;
  auto channel = std::make_shared<ChannelCore>();
  channel->connection = this;
  channel->state = state;
  if (free_slots_.empty()) {
    channel->id = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(channel);
  } else {
    channel->id = free_slots_.back();
    free_slots_.pop_back();
    slots_[channel->id] = channel;
  }
  ++channel_count_;
  return channel;
}

void ConnectionCore::remove(ChannelCore& channel) {
  if (!channel.connection) return;
  channel.connection = nullptr;
  channel.state = ChannelState::kClosed;
  channel.handler.reset();
  channel.replies.clear();
  shrink_window(channel, channel.window_growth);
  --channel_count_;
  free_slots_.push_back(channel.id);
  slots_[channel.id].reset();  // may destroy the channel: last
}

void ConnectionCore::fail_callbacks(ChannelCore& channel) {
  for (auto& callback : std::exchange(channel.expected_replies, {})) {
    if (!owner_) return;  // detached by the one before
    callback(false);
  }
}

void ConnectionCore::finish(const ChannelRef& channel) {
  const ChannelRef keep = channel;
  const auto handler = keep->handler;
  remove(*keep);
  fail_callbacks(*keep);
  if (handler && owner_) handler->on_closed();
}

void ConnectionCore::close(ChannelCore& channel) {
  if (!transport_) return;
  switch (channel.state) {
    case ChannelState::kOpening: channel.close_when_open = true; return;
    case ChannelState::kOpen: channel.state = ChannelState::kClosing; break;
    case ChannelState::kEofReceived: channel.state = ChannelState::kClosingAfterEof; break;
    default: return;
  }
  channel.replies.clear();
  channel.blocked = false;
  send_for(MessageNumber::kChannelClose, channel.peer_id);
}

void ConnectionCore::end() {
  if (!transport_) return;
  transport_ = nullptr;
  const auto keep = shared_from_this();
  // A callback may detach() and so empty everything under our feet: work on what was there.
  const std::vector<ChannelRef> channels = slots_;
  for (const ChannelRef& channel : channels) {
    if (!channel || !channel->connection) continue;
    if (channel->state == ChannelState::kOpening) {
      const auto handler = channel->handler;
      remove(*channel);
      handler->on_open_failed(OpenFailure::kConnectFailed, "the connection ended");
    } else {
      finish(channel);
    }
  }
  for (auto& callback : std::exchange(expected_global_replies_, {})) {
    if (!owner_) break;
    if (callback) callback(std::nullopt);
  }
}

void ConnectionCore::detach() {
  transport_ = nullptr;
  owner_ = nullptr;
  // Handlers and callbacks are destroyed last, when nothing of ours can be reached from their destructors any more.
  std::vector<ChannelRef> channels = std::exchange(slots_, {});
  channel_count_ = 0;
  const auto callbacks = std::exchange(expected_global_replies_, {});
  for (const ChannelRef& channel : channels) {
    if (!channel) continue;
    channel->connection = nullptr;
    channel->state = ChannelState::kClosed;
    shrink_window(*channel, channel->window_growth);
  }
  for (const ChannelRef& channel : channels) {
    if (!channel) continue;
    const auto handler = std::exchange(channel->handler, {});
    const auto expected = std::exchange(channel->expected_replies, {});
  }
}

// ---- requests on channels

Status ConnectionCore::on_request(const ChannelRef& channel, BytesView payload) {
  MEZ_TRY(auto message, decode<wire::ChannelRequest>(payload));
  if (channel->state == ChannelState::kClosing || channel->state == ChannelState::kClosingAfterEof) return {};
  std::uint64_t ticket = 0;
  if (message.want_reply) {
    if (channel->replies.size() >= limits_.max_pending_replies) {
      return fail(ErrorCode::kResourceExhausted, "too many requests wait for a reply");
    }
    ticket = next_ticket_++;
    channel->replies.push_back({ticket, PendingReply::Answer::kNone, {}});
  }
  RequestResponder responder(channel, ticket);  // refuses when it is dropped
  if (message.type == "xon-xoff") return {};    // RFC 4254 §6.8: server to client, and we have no use for it
  if (message.type == "eow@openssh.com") {      // PROTOCOL §2.1
    if (!message.parameters.bytes.empty()) return fail(ErrorCode::kProtocol, "eow@openssh.com has trailing bytes");
    if (std::exchange(channel->peer_stopped_reading, true)) return {};
    const auto handler = channel->handler;
    handler->on_peer_stopped_reading();
    return {};
  }
  auto request = parse_channel_request(message.type, message.parameters.bytes);
  if (!request) {
    if (request.error().code == ErrorCode::kProtocol) return std::unexpected(std::move(request).error());
    return {};
  }
  if (std::holds_alternative<EnvRequest>(*request) && ++channel->env_requests > kMaxEnvRequests) return {};
  const auto handler = channel->handler;
  handler->on_request(*request, std::move(responder));
  return {};
}

void ConnectionCore::answer_request(ChannelCore& channel, std::uint64_t ticket, bool granted) {
  for (PendingReply& reply : channel.replies) {
    if (reply.ticket != ticket) continue;
    reply.answer = granted ? PendingReply::Answer::kSuccess : PendingReply::Answer::kFailure;
    flush_replies(channel);
    return;
  }
}

void ConnectionCore::flush_replies(ChannelCore& channel) {
  std::size_t count = 0;
  for (; count < channel.replies.size(); ++count) {
    const auto answer = channel.replies[count].answer;
    if (answer == PendingReply::Answer::kNone) break;
    const bool success = answer == PendingReply::Answer::kSuccess;
    if (transport_) {
      send_for(success ? MessageNumber::kChannelSuccess : MessageNumber::kChannelFailure, channel.peer_id);
    }
  }
  channel.replies.erase(channel.replies.begin(), channel.replies.begin() + static_cast<std::ptrdiff_t>(count));
}

void ConnectionCore::send_eow(ChannelCore& channel) {
  if (!transport_ || channel.state != ChannelState::kOpen || channel.eow_sent || !peer_knows_openssh()) return;
  channel.eow_sent = true;
  request(channel, OtherRequest{"eow@openssh.com", {}}, {});
}

void ConnectionCore::request(ChannelCore& channel, const ChannelRequest& request, Channel::ReplyCallback on_reply) {
  const bool open = channel.state == ChannelState::kOpen || channel.state == ChannelState::kEofReceived;
  if (!transport_ || !open) {
    if (on_reply) on_reply(false);
    return;
  }
  const Bytes parameters = encode_payload(request);
  scratch_.clear();
  encode_to(scratch_, wire::ChannelRequest{channel.peer_id, std::string(request_name(request)),
                                           static_cast<bool>(on_reply), Rest{parameters}});
  if (on_reply) channel.expected_replies.push_back(std::move(on_reply));
  send(scratch_);
}

Status ConnectionCore::on_reply(const ChannelRef& channel, bool granted, BytesView payload) {
  if (payload.size() != 5) return fail(ErrorCode::kProtocol, "{} has trailing bytes", message_name(payload[0]));
  // A reply that nothing asked for must not be counted against a later request (x/crypto CVE-2026-39830).
  if (channel->expected_replies.empty()) {
    return fail(ErrorCode::kProtocol, "{} that nothing asked for", message_name(payload[0]));
  }
  auto callback = std::move(channel->expected_replies.front());
  channel->expected_replies.pop_front();
  callback(granted);
  return {};
}

// ---- global requests

Status ConnectionCore::on_global_request(BytesView payload) {
  MEZ_TRY(auto message, decode<wire::GlobalRequest>(payload));
  std::uint64_t ticket = 0;
  if (message.want_reply) {
    if (global_replies_.size() >= limits_.max_pending_replies) {
      return fail(ErrorCode::kResourceExhausted, "too many requests wait for a reply");
    }
    ticket = next_ticket_++;
    global_replies_.push_back({ticket, PendingReply::Answer::kNone, {}});
  }
  GlobalRequestResponder responder(weak_from_this(), ticket);  // refuses when it is dropped
  // OpenSSH PROTOCOL §2.7: any answer shows that we are there; OpenSSH itself refuses what it does not know.
  if (message.type == "keepalive@openssh.com") return {};
  if (message.type == "no-more-sessions@openssh.com" && role_ == Role::kServer) {  // PROTOCOL §2.2
    no_more_sessions_ = true;
    responder.accept();
    return {};
  }
  auto request = parse_global_request(message.type, message.parameters.bytes);
  if (!request) {
    if (request.error().code == ErrorCode::kProtocol) return std::unexpected(std::move(request).error());
    return {};
  }
  // Ports and sockets are for a client to ask for (RFC 4254 §7.1).
  if (role_ == Role::kClient && !std::holds_alternative<OtherGlobalRequest>(*request)) return {};
  if (ticket != 0 && !std::holds_alternative<OtherGlobalRequest>(*request)) {
    const auto* forward = std::get_if<TcpipForwardRequest>(&*request);
    global_replies_.back().sends_payload = forward && forward->port == 0;
  }
  owner_->on_global_request(*request, std::move(responder));
  return {};
}

void ConnectionCore::answer_global(std::uint64_t ticket, bool granted, BytesView payload) {
  for (PendingReply& reply : global_replies_) {
    if (reply.ticket != ticket) continue;
    reply.answer = granted ? PendingReply::Answer::kSuccess : PendingReply::Answer::kFailure;
    if (reply.sends_payload) reply.payload = to_bytes(payload);
    flush_global_replies();
    return;
  }
}

void ConnectionCore::flush_global_replies() {
  std::size_t count = 0;
  for (; count < global_replies_.size(); ++count) {
    const PendingReply& reply = global_replies_[count];
    if (reply.answer == PendingReply::Answer::kNone) break;
    if (!transport_) continue;
    scratch_.clear();
    if (reply.answer == PendingReply::Answer::kSuccess) {
      encode_to(scratch_, wire::RequestSuccess{Rest{reply.payload}});
    } else {
      encode_to(scratch_, wire::RequestFailure{});
    }
    send(scratch_);
  }
  global_replies_.erase(global_replies_.begin(), global_replies_.begin() + static_cast<std::ptrdiff_t>(count));
}

void ConnectionCore::global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply) {
  if (!transport_) {
    if (on_reply) on_reply(std::nullopt);
    return;
  }
  scratch_.clear();
  encode_to(scratch_, wire::GlobalRequest{std::string(name), static_cast<bool>(on_reply), Rest{payload}});
  if (on_reply) expected_global_replies_.push_back(std::move(on_reply));
  send(scratch_);
}

Status ConnectionCore::on_global_reply(MessageNumber number, BytesView payload) {
  const bool success = number == MessageNumber::kRequestSuccess;
  if (!success && payload.size() != 1) return fail(ErrorCode::kProtocol, "REQUEST_FAILURE has trailing bytes");
  // x/crypto CVE-2026-39830.
  if (expected_global_replies_.empty()) {
    return fail(ErrorCode::kProtocol, "{} that nothing asked for", message_name(payload[0]));
  }
  auto callback = std::move(expected_global_replies_.front());
  expected_global_replies_.pop_front();
  callback(success ? std::optional<BytesView>(payload.subspan(1)) : std::nullopt);
  return {};
}

bool ConnectionCore::peer_knows_openssh() const {
  // As OpenSSH does (PROTOCOL §2.1, §2.2): there are implementations that break off at a request which they don't know.
  const std::string_view version = transport_->peer_version();
  return version.find("OpenSSH") != std::string_view::npos || version.find("Mezite") != std::string_view::npos;
}

void ConnectionCore::send_no_more_sessions() {
  if (!transport_ || role_ != Role::kClient || no_more_sessions_ || !peer_knows_openssh()) return;
  no_more_sessions_ = true;
  global_request("no-more-sessions@openssh.com", {}, {});
}

// ---- keepalive

void ConnectionCore::arm_keepalive() {
  if (keepalive_.interval.count() > 0) keepalive_deadline_ = clock_.steady() + keepalive_.interval;
}

Status ConnectionCore::on_time() {
  if (!transport_ || !keepalive_deadline_ || clock_.steady() < *keepalive_deadline_) return {};
  arm_keepalive();
  if (std::exchange(heard_, false)) {
    unanswered_keepalives_ = 0;
    return {};
  }
  if (unanswered_keepalives_ >= keepalive_.max_unanswered) {
    return fail(ErrorCode::kTimeout, "the other end has not answered {} keepalives", unanswered_keepalives_);
  }
  ++unanswered_keepalives_;
  global_request("keepalive@openssh.com", {}, [](std::optional<BytesView>) {});
  return {};
}

// ---- sending

void ConnectionCore::send(BytesView payload) {
  if (!transport_) return;
  if (auto status = transport_->send(payload); !status && !broken_) broken_ = std::move(status).error();
  if (owner_) owner_->on_connection_output();
}

void ConnectionCore::send_for(MessageNumber number, std::uint32_t recipient) {
  scratch_.clear();
  Writer(scratch_).byte(static_cast<std::uint8_t>(number)).u32(recipient);
  send(scratch_);
}

}  // namespace mezite::ssh
