#include "ssh/transport/ssh_transport.hh"

#include <algorithm>
#include <utility>

#include "ssh/wire/transport_messages.hh"

namespace mezite::ssh {

namespace {

constexpr std::size_t kMaxReadBytes = 1024 * 1024;
constexpr std::size_t kMaxHeldBytes = 4 * 1024 * 1024;
constexpr std::size_t kMaxDisconnectTextBytes = 512;
constexpr std::size_t kMaxPingBytes = 8192;
constexpr std::string_view kUserauthService = "ssh-userauth";

// What a peer reads: constant for each reason, so that nothing of ours leaks by it.
std::string_view reason_text(DisconnectReason reason) {
  switch (reason) {
    case DisconnectReason::kProtocolError: return "protocol error";
    case DisconnectReason::kKeyExchangeFailed: return "key exchange failed";
    case DisconnectReason::kMacError: return "corrupted packet";
    case DisconnectReason::kServiceNotAvailable: return "service not available";
    case DisconnectReason::kHostKeyNotVerifiable: return "host key not verifiable";
    case DisconnectReason::kConnectionLost: return "timed out";
    default: return "connection closed";
  }
}

DisconnectReason reason_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kProtocol: return DisconnectReason::kProtocolError;
    case ErrorCode::kTimeout: return DisconnectReason::kConnectionLost;
    default: return DisconnectReason::kByApplication;
  }
}

std::string describe(std::uint8_t message) {
  const auto name = message_name(message);
  return name.empty() ? fmt::format("message {}", message) : std::string(name);
}

}  // namespace

SshTransport::SshTransport(std::shared_ptr<const TransportConfig> config, const Clock& clock, PacketSink& sink)
    : config_(std::move(config)),
      clock_(clock),
      sink_(sink),
      identification_(config_->role, config_->limits.max_identification_lines),
      in_(config_->limits.max_packet_bytes) {}

Status SshTransport::start() {
  out_.put_raw(as_bytes(config_->software));
  out_.put_raw(as_bytes("\r\n"));
  kex_deadline_ = clock_.steady() + config_->limits.handshake_timeout;
  return send_kexinit();
}

// ---- Input

std::span<std::uint8_t> SshTransport::read_space(std::size_t want_bytes) {
  return in_.room(std::clamp<std::size_t>(want_bytes, 1, kMaxReadBytes));
}

Status SshTransport::commit_read(std::size_t bytes) {
  in_.commit(bytes);
  return process();
}

Status SshTransport::release_input() {
  held_ = false;
  return process();
}

Status SshTransport::process() {
  if (failure_) return std::unexpected(*failure_);
  if (closed_) return fail(ErrorCode::kUnavailable, "the SSH connection is closed");
  if (processing_) return fail(ErrorCode::kInternal, "input committed from inside the transport");
  processing_ = true;
  struct Done {
    bool& flag;
    ~Done() { flag = false; }
  } done{processing_};

  if (!identification_.done()) {
    const auto used = identification_.feed(in_.raw());
    if (!used) {
      // Not an SSH peer, or a hostile one: nothing is said to it.
      closed_ = true;
      failure_ = used.error();
      return std::unexpected(*failure_);
    }
    in_.consume_raw(*used);
    if (!identification_.done()) return {};
  }
  while (!closed_ && !held_) {
    const auto payload = in_.next();
    if (!payload) break;
    if (auto status = dispatch(*payload); !status) return fatal(std::move(status).error());
    if (auto status = rekey_if_due(); !status) return fatal(std::move(status).error());
  }
  if (failure_) return std::unexpected(*failure_);
  if (closed_) return {};  // by disconnect() from inside
  switch (in_.failure()) {
    case PacketInput::Failure::kNone: break;
    case PacketInput::Failure::kLength:
      return fatal(DisconnectReason::kProtocolError, Error{ErrorCode::kProtocol, "impossible packet length"});
    case PacketInput::Failure::kPadding:
      return fatal(DisconnectReason::kProtocolError, Error{ErrorCode::kProtocol, "impossible padding length"});
    case PacketInput::Failure::kMac:
      return fatal(DisconnectReason::kMacError, Error{ErrorCode::kProtocol, "a packet does not authenticate"});
  }
  if (held_ && in_.raw().size() > kMaxHeldBytes) {
    return fatal(Error{ErrorCode::kResourceExhausted, "too much input while a decision is awaited"});
  }
  return {};
}

Status SshTransport::dispatch(BytesView payload) {
  const std::uint8_t message = payload[0];
  const Transition& transition = find_transition(config_->role, stage_, message);
  if (transition.action == Action::kRefuse || (transition.refused_when_strict && strict_)) {
    return fail(ErrorCode::kProtocol, "{} in state {}", describe(message), stage_name(stage_));
  }
  const Stage before = stage_;
  MEZ_CHECK(act(transition.action, payload));
  // The table is the authority on where a message may lead; set_phase() by a sink moves between services only.
  if (stage_ != before && transition.action != Action::kDeliver && (transition.next & stage_bit(stage_)) == 0) {
    return fail(ErrorCode::kInternal, "{} may not lead from state {} to {}", describe(message), stage_name(before),
                stage_name(stage_));
  }
  return {};
}

Status SshTransport::act(Action action, BytesView payload) {
  switch (action) {
    case Action::kRefuse: return fail(ErrorCode::kInternal, "refused message dispatched");
    case Action::kDiscard: return count_idle_message();
    case Action::kPeerDisconnect: return on_peer_disconnect(payload);
    case Action::kKexInit: return on_kexinit(payload);
    case Action::kSkipGuess: stage_ = stage_ == Stage::kKexGuess ? Stage::kKexMethod : Stage::kRekeyMethod; return {};
    case Action::kKexMethod: return is_server() ? on_ecdh_init(payload) : on_ecdh_reply(payload);
    case Action::kNewKeys: return on_newkeys(payload);
    case Action::kServiceRequest: return on_service_request(payload);
    case Action::kServiceAccept: return on_service_accept(payload);
    case Action::kExtInfo: return on_ext_info(payload);
    case Action::kPing: return on_ping(payload);
    case Action::kDeliver: empty_rekeys_ = 0; return sink_.on_packet(payload);
    case Action::kUnimplemented: return answer_unimplemented();
  }
  return fail(ErrorCode::kInternal, "no such action");
}

// OpenSSH CVE-2025-26466: messages that cost the sender nothing are counted as long as nobody is logged in. After that
// they cost no more than data, and what answers them is bounded by max_pong_backlog.
Status SshTransport::count_idle_message() {
  if (phase_ != Phase::kConnection && ++idle_messages_ > config_->limits.max_idle_messages) {
    return fail(ErrorCode::kProtocol, "over {} messages without effect before authentication",
                config_->limits.max_idle_messages);
  }
  return {};
}

Status SshTransport::on_peer_disconnect(BytesView payload) {
  closed_ = true;
  const auto message = decode<DisconnectMessage>(payload);
  const auto reason = message ? message->reason : DisconnectReason::kByApplication;
  const auto text = message ? message->description.substr(0, kMaxDisconnectTextBytes) : std::string();
  failure_ = Error{ErrorCode::kUnavailable,
                   fmt::format("the peer disconnected (reason {})", static_cast<std::uint32_t>(reason))};
  sink_.on_peer_disconnect(reason, text);
  return {};
}

Status SshTransport::on_service_request(BytesView payload) {
  MEZ_TRY(const auto request, decode<ServiceRequest>(payload));
  if (request.service != kUserauthService) {
    return fatal(DisconnectReason::kServiceNotAvailable, Error{ErrorCode::kProtocol, "unknown service requested"});
  }
  MEZ_CHECK(emit(encode(ServiceAccept{.service = std::string(kUserauthService)})));
  stage_ = Stage::kUserauth;
  phase_ = Phase::kUserauth;
  return sink_.on_service_ready();
}

Status SshTransport::on_service_accept(BytesView payload) {
  MEZ_TRY(const auto accept, decode<ServiceAccept>(payload));
  if (accept.service != kUserauthService) return fail(ErrorCode::kProtocol, "another service accepted than requested");
  stage_ = Stage::kUserauth;
  phase_ = Phase::kUserauth;
  return sink_.on_service_ready();
}

Status SshTransport::on_ext_info(BytesView payload) {
  constexpr std::size_t kMaxExtensions = 32;
  const std::size_t allowed = is_server() ? 1 : 2;
  if (++ext_infos_ > allowed) return fail(ErrorCode::kProtocol, "more than {} EXT_INFO", allowed);
  MEZ_TRY(const auto info, decode<ExtInfo>(payload));
  if (info.extensions.items.size() > kMaxExtensions) return fail(ErrorCode::kProtocol, "too many extensions");
  for (const auto& extension : info.extensions.items) {
    if (is_server()) continue;
    if (as_text(extension.value) == "0") {
      if (extension.name == kHostboundExtension) peer_extensions_ |= extension_bit(PeerExtension::kHostbound);
      if (extension.name == kPingExtension) peer_extensions_ |= extension_bit(PeerExtension::kPing);
    }
    if (extension.name != "server-sig-algs") continue;
    // The value is a name-list without a further string around it.
    Bytes framed;
    Writer(framed).string(extension.value);
    Reader reader(framed);
    const auto names = NameList::read(reader);
    MEZ_CHECK(reader.finish("server-sig-algs"));
    server_sig_algs_ = names.names();
  }
  sink_.on_ext_info();
  return {};
}

Status SshTransport::on_ping(BytesView payload) {
  MEZ_CHECK(count_idle_message());
  MEZ_TRY(const auto ping, decode<Ping>(payload));
  if (ping.data.size() > kMaxPingBytes) return fail(ErrorCode::kProtocol, "PING of over {} bytes", kMaxPingBytes);
  if (output_size() > config_->limits.max_pong_backlog) {
    return fail(ErrorCode::kProtocol, "PINGs faster than their answers are read");
  }
  return send(encode(Pong{.data = ping.data}));
}

Status SshTransport::answer_unimplemented() {
  MEZ_CHECK(count_idle_message());
  if (output_size() > config_->limits.max_output_bytes) {
    return fail(ErrorCode::kProtocol, "unknown messages faster than their answers are read");
  }
  return emit(encode(UnimplementedMessage{.sequence_number = in_.last_sequence()}));
}

// ---- Output

Status SshTransport::emit(BytesView payload) {
  // RFC 4253 §7.1: of the transport's messages, those of services and extensions wait for a key exchange as well.
  const bool waits = payload[0] >= static_cast<std::uint8_t>(MessageNumber::kServiceRequest) &&
                     payload[0] <= static_cast<std::uint8_t>(MessageNumber::kExtInfo);
  if (!waits || !must_queue()) return out_.put(payload);
  Writer(queue_).string(payload);
  return {};
}

Status SshTransport::send(BytesView head, BytesView text) {
  if (closed_) return fail(ErrorCode::kFailedPrecondition, "the SSH connection is closed");
  if (session_id_.empty()) return fail(ErrorCode::kFailedPrecondition, "no message before the first key exchange");
  const auto& limits = config_->limits;
  const std::size_t bytes = head.size() + text.size();
  if (head.empty() || bytes > limits.max_packet_bytes) {
    return fail(ErrorCode::kInvalidArgument, "a message of {} bytes", bytes);
  }
  const bool waits = must_queue();
  if (waits ? queue_.size() + bytes > limits.max_queued_bytes
            : out_.pending().size() + bytes > limits.max_output_bytes) {
    return fail(ErrorCode::kResourceExhausted, "{} bytes wait to be sent already", output_size());
  }
  if (waits) {
    Writer(queue_).u32(static_cast<std::uint32_t>(bytes)).raw(head).raw(text);
    return {};
  }
  empty_rekeys_ = 0;
  if (auto status = out_.put(head, text); !status) return fatal(std::move(status).error());
  if (auto status = rekey_if_due(); !status) return fatal(std::move(status).error());
  return {};
}

Status SshTransport::flush_queue() {
  Bytes waiting;
  waiting.swap(queue_);
  Reader reader(waiting);
  while (reader.remaining() > 0) {
    MEZ_CHECK(out_.put(reader.string()));
    empty_rekeys_ = 0;
  }
  return {};
}

void SshTransport::set_phase(Phase phase) {
  if (phase <= phase_ || phase_ == Phase::kTransport) return;
  phase_ = phase;
  if (stage_ == Stage::kUserauth) stage_ = Stage::kConnection;
}

// ---- The end

void SshTransport::close_with(DisconnectReason reason, std::string_view text) {
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  const DisconnectMessage message{.reason = reason,
                                  .description = std::string(text.substr(0, kMaxDisconnectTextBytes))};
  static_cast<void>(
      out_.put(encode(message)));  // the last word; if it cannot be said, the connection ends all the same
}

Status SshTransport::fatal(DisconnectReason reason, Error error) {
  if (!failure_) failure_ = error;
  close_with(reason, reason_text(reason));
  return std::unexpected(std::move(error));
}

Status SshTransport::fatal(Error error) {
  const auto reason = reason_for(error.code);
  return fatal(reason, std::move(error));
}

void SshTransport::disconnect(DisconnectReason reason, std::string_view text) { close_with(reason, text); }

// ---- Time

std::optional<SteadyTime> SshTransport::next_deadline() const {
  if (closed_) return std::nullopt;
  if (key_exchange_running()) return kex_deadline_;
  if (phase_ != Phase::kConnection) return std::nullopt;
  return rekey_time_;
}

Status SshTransport::on_time() {
  if (failure_) return std::unexpected(*failure_);
  if (closed_) return {};
  if (key_exchange_running()) {
    if (clock_.steady() < kex_deadline_) return {};
    return fatal(Error{ErrorCode::kTimeout, session_id_.empty() ? "the peer did not finish the SSH handshake in time"
                                                                : "the peer did not finish a key exchange in time"});
  }
  if (auto status = rekey_if_due(); !status) return fatal(std::move(status).error());
  return {};
}

const TransportCounters& SshTransport::counters() const {
  counters_ = {.bytes_in = in_.total_bytes(),
               .bytes_out = out_.total_bytes(),
               .packets_in = in_.total_packets(),
               .packets_out = out_.total_packets(),
               .key_exchanges = key_exchanges_};
  return counters_;
}

}  // namespace mezite::ssh
