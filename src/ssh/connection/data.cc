// The data path: windows, packets in place, and whose turn it is to write.
#include <algorithm>
#include <array>
#include <utility>

#include "ssh/connection/connection.hh"
#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {
namespace {

constexpr std::size_t kDataHeader = 9;           // number, recipient, length
constexpr std::size_t kExtendedDataHeader = 13;  // number, recipient, type, length
constexpr std::uint32_t kStderr = 1;             // SSH_EXTENDED_DATA_STDERR

std::size_t header_size(DataKind kind) { return kind == DataKind::kStdout ? kDataHeader : kExtendedDataHeader; }

void put_u32(std::uint8_t* out, std::size_t value) {
  out[0] = static_cast<std::uint8_t>(value >> 24);
  out[1] = static_cast<std::uint8_t>(value >> 16);
  out[2] = static_cast<std::uint8_t>(value >> 8);
  out[3] = static_cast<std::uint8_t>(value);
}

void put_header(std::uint8_t* out, std::uint32_t recipient, DataKind kind) {
  const bool plain = kind == DataKind::kStdout;
  out[0] = static_cast<std::uint8_t>(plain ? MessageNumber::kChannelData : MessageNumber::kChannelExtendedData);
  put_u32(out + 1, recipient);
  if (!plain) put_u32(out + 5, kStderr);
}

}  // namespace

// ---- receiving

Status ConnectionCore::on_data(const ChannelRef& channel, MessageNumber number, BytesView payload) {
  Reader in(payload.subspan(5));
  DataKind kind = DataKind::kStdout;
  bool wanted = true;
  if (number == MessageNumber::kChannelExtendedData) {
    // Only stderr is defined, and only a server sends it (RFC 4254 §5.2, §6). Anything else counts and is dropped.
    wanted = in.u32() == kStderr && role_ == Role::kClient;
    kind = DataKind::kStderr;
  }
  const BytesView data = in.string();
  if (!in.at_end()) return fail(ErrorCode::kProtocol, "malformed {}", message_name(payload[0]));
  if (data.size() > limits_.max_packet_bytes) {
    return fail(ErrorCode::kProtocol, "channel data of {} bytes, over the maximum packet size", data.size());
  }
  if (data.size() > channel->window) {
    return fail(ErrorCode::kProtocol, "channel data of {} bytes, {} over the window", data.size(),
                data.size() - channel->window);
  }
  const auto size = static_cast<std::uint32_t>(data.size());
  channel->window -= size;
  channel->received += size;
  if (channel->state != ChannelState::kOpen || size == 0) return {};
  channel->owed += size;
  if (!wanted) {
    consumed(*channel, size);
    return {};
  }
  const auto handler = channel->handler;
  handler->on_data(data, kind);
  return {};
}

void ConnectionCore::consumed(ChannelCore& channel, std::size_t size) {
  const auto amount = static_cast<std::uint32_t>(std::min<std::size_t>(size, channel.owed));
  channel.owed -= amount;
  channel.to_grant += amount;
  // In lots, so that a window's worth of data costs a few messages and the peer never runs dry meanwhile.
  const std::uint32_t target = channel.window_target;
  const std::uint32_t lot = std::min(target / 2, std::max(target / 8, 4 * limits_.max_packet_bytes));
  if (channel.to_grant < lot || channel.state != ChannelState::kOpen) return;
  tune_window(channel);
  grant_window(channel);
}

// Once for each lot, not for each packet.
void ConnectionCore::tune_window(ChannelCore& channel) {
  // Far less than a lot comes in this time on a channel that is still used for bulk.
  constexpr std::chrono::seconds kSlow{10};
  const std::uint64_t wanted =
      channel.meter.on_grant(clock_.steady(), channel.received, channel.received + channel.window);
  if (wanted == 0) return;
  if (wanted > channel.window_target) {
    // Data that the handler has not dealt with is not waiting for a larger window.
    if (channel.owed > channel.window_target / 4) return;
    const std::uint64_t most = std::min<std::uint64_t>(wanted, limits_.max_window_bytes);
    if (most <= channel.window_target) return;
    const std::size_t left =
        limits_.max_window_growth_bytes - std::min(limits_.max_window_growth_bytes, window_growth_);
    const auto growth = static_cast<std::uint32_t>(
        limits_.window_budget->take(std::min<std::size_t>(most - channel.window_target, left)));
    window_growth_ += growth;
    channel.window_growth += growth;
    channel.window_target += growth;
    channel.to_grant += growth;
  } else if (wanted < channel.window_target / 8 && channel.meter.last_interval() >= kSlow) {
    const std::uint32_t by = std::min({channel.window_growth, channel.window_target / 2, channel.to_grant});
    channel.to_grant -= by;
    shrink_window(channel, by);
  }
}

void ConnectionCore::shrink_window(ChannelCore& channel, std::uint32_t by) {
  channel.window_growth -= by;
  channel.window_target -= by;
  window_growth_ -= by;
  limits_.window_budget->give_back(by);
}

void ConnectionCore::grant_window(ChannelCore& channel) {
  if (!transport_ || channel.to_grant == 0) return;
  const std::uint32_t amount = channel.to_grant;
  channel.to_grant = 0;
  channel.window += amount;  // never over window_target: amount had been taken from it
  scratch_.clear();
  Writer(scratch_)
      .byte(static_cast<std::uint8_t>(MessageNumber::kChannelWindowAdjust))
      .u32(channel.peer_id)
      .u32(amount);
  send(scratch_);
}

// ---- sending

Status ConnectionCore::on_window_adjust(const ChannelRef& channel, BytesView payload) {
  Reader in(payload.subspan(5));
  const std::uint32_t amount = in.u32();
  if (!in.at_end()) return fail(ErrorCode::kProtocol, "malformed {}", message_name(payload[0]));
  // RFC 4254 §5.2: the window must not grow over 2^32 − 1.
  if (amount > UINT32_MAX - channel->peer_window) return fail(ErrorCode::kProtocol, "channel window overflow");
  channel->peer_window += amount;
  if (channel->blocked && channel->peer_window > 0) {
    mark_blocked(*channel);
    if (transport_->output_size() < limits_.output_high_water_bytes) run_writable_queue();
  }
  return {};
}

bool ConnectionCore::may_send(const ChannelCore& channel) const {
  return transport_ && !channel.eof_sent &&
         (channel.state == ChannelState::kOpen || channel.state == ChannelState::kEofReceived);
}

// How much the next packet may hold.
std::size_t ConnectionCore::room(const ChannelCore& channel) const {
  if (transport_->output_size() >= limits_.output_high_water_bytes) return 0;
  return std::min(channel.peer_window, channel.max_send);
}

std::size_t ConnectionCore::writable(ChannelCore& channel) {
  if (!may_send(channel)) return 0;
  const std::size_t waiting = transport_->output_size();
  if (waiting >= limits_.output_high_water_bytes || channel.peer_window == 0) {
    mark_blocked(channel);
    return 0;
  }
  // So that write() takes all of it, each packet is counted with what encryption adds.
  constexpr std::size_t kOverheadBytes = 128;
  const std::size_t packet = channel.max_send + kOverheadBytes;
  const std::size_t packets = (limits_.output_high_water_bytes - waiting + packet - 1) / packet;
  return std::min<std::size_t>(channel.peer_window, packets * channel.max_send);
}

std::size_t ConnectionCore::write(ChannelCore& channel, BytesView data, DataKind kind) {
  if (!may_send(channel)) return 0;
  std::array<std::uint8_t, kExtendedDataHeader> header;
  const std::size_t header_bytes = header_size(kind);
  put_header(header.data(), channel.peer_id, kind);
  std::size_t done = 0;
  while (done < data.size()) {
    const std::size_t size = std::min(room(channel), data.size() - done);
    if (size == 0) break;
    put_u32(header.data() + header_bytes - 4, size);
    if (!transport_->send(BytesView(header).first(header_bytes), data.subspan(done, size))) break;
    channel.peer_window -= static_cast<std::uint32_t>(size);
    channel.sent += size;
    done += size;
  }
  if (done < data.size()) mark_blocked(channel);
  if (done > 0 && owner_) owner_->on_connection_output();
  return done;
}

void ConnectionCore::send_eof(ChannelCore& channel) {
  if (!may_send(channel)) return;
  channel.eof_sent = true;
  channel.blocked = false;
  send_for(MessageNumber::kChannelEof, channel.peer_id);
}

// ---- whose turn it is

void ConnectionCore::mark_blocked(ChannelCore& channel) {
  channel.blocked = true;
  // Without window it is the peer's turn: on_window_adjust() comes back here.
  if (channel.peer_window == 0 || channel.in_writable_queue) return;
  channel.in_writable_queue = true;
  writable_queue_.push_back(slots_[channel.id]);
}

void ConnectionCore::on_output_room() {
  if (writable_queue_.empty() || !transport_) return;
  if (transport_->output_size() <= limits_.output_high_water_bytes / 2) run_writable_queue();
}

// First come, first served: a channel that fills the output goes to the end, so that each gets its turn.
void ConnectionCore::run_writable_queue() {
  if (running_queue_) return;
  running_queue_ = true;
  const auto keep = shared_from_this();
  // Each once: a handler that asks for more than there is room for queues itself again.
  for (std::size_t left = writable_queue_.size(); left > 0 && !writable_queue_.empty() && transport_; --left) {
    if (transport_->output_size() >= limits_.output_high_water_bytes) break;
    const ChannelRef channel = writable_queue_.front().lock();
    writable_queue_.pop_front();
    if (!channel) continue;
    channel->in_writable_queue = false;
    if (!channel->blocked || !channel->handler || channel->connection != this) continue;
    if (channel->peer_window == 0) continue;
    channel->blocked = false;
    const auto handler = channel->handler;
    handler->on_writable();
  }
  running_queue_ = false;
}

}  // namespace mezite::ssh
