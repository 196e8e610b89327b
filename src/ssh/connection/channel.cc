#include "ssh/connection/channel.hh"

#include <utility>

#include "ssh/connection/connection.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {

// Handles and responders only find the connection; what they mean is in connection.cc and data.cc. The connection is
// held while it works: a handler may drop it from inside.

bool Channel::is_open() const {
  return core_ && (core_->state == ChannelState::kOpen || core_->state == ChannelState::kEofReceived);
}
std::uint32_t Channel::id() const { return core_ ? core_->id : UINT32_MAX; }
std::uint64_t Channel::bytes_sent() const { return core_ ? core_->sent : 0; }
std::uint64_t Channel::bytes_received() const { return core_ ? core_->received : 0; }

std::size_t Channel::write(BytesView data, DataKind kind) {
  return core_ && core_->connection ? core_->connection->write(*core_, data, kind) : 0;
}
std::size_t Channel::writable() const { return core_ && core_->connection ? core_->connection->writable(*core_) : 0; }
void Channel::consumed(std::size_t size) {
  if (core_ && core_->connection) core_->connection->consumed(*core_, size);
}
void Channel::send_eof() {
  if (core_ && core_->connection) core_->connection->send_eof(*core_);
}
void Channel::send_eow() {
  if (core_ && core_->connection) core_->connection->send_eow(*core_);
}
void Channel::send_exit_status(std::uint32_t code) { request(ExitStatus{code}); }
void Channel::send_exit_signal(const ExitSignal& signal) { request(signal); }
void Channel::close() {
  if (core_ && core_->connection) core_->connection->close(*core_);
}
void Channel::request(const ChannelRequest& request, ReplyCallback on_reply) {
  if (core_ && core_->connection) {
    core_->connection->request(*core_, request, std::move(on_reply));
  } else if (on_reply) {
    on_reply(false);
  }
}

void RequestResponder::answer(bool granted) {
  const std::uint64_t ticket = std::exchange(ticket_, 0);
  if (ticket == 0) return;
  if (const auto channel = channel_.lock(); channel && channel->connection) {
    channel->connection->answer_request(*channel, ticket, granted);
  }
}

Channel ChannelOpenResponder::accept(std::shared_ptr<ChannelHandler> handler) {
  const auto channel = std::exchange(channel_, {}).lock();
  if (!channel || !channel->connection) return {};
  if (!handler) {
    channel->connection->reject_open(*channel, OpenFailure::kAdministrativelyProhibited, "refused");
    return {};
  }
  return channel->connection->accept_open(channel, std::move(handler));
}
void ChannelOpenResponder::reject(OpenFailure reason, std::string_view text) {
  const auto channel = std::exchange(channel_, {}).lock();
  if (channel && channel->connection) channel->connection->reject_open(*channel, reason, text);
}

void GlobalRequestResponder::accept_port(std::uint32_t port) {
  Bytes payload;
  Writer(payload).u32(port);
  answer(true, payload);
}
void GlobalRequestResponder::answer(bool granted, BytesView payload) {
  const std::uint64_t ticket = std::exchange(ticket_, 0);
  if (ticket == 0) return;
  if (const auto connection = connection_.lock()) connection->answer_global(ticket, granted, payload);
}

}  // namespace mezite::ssh
