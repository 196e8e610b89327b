// The connection protocol over a transport: dispatches the peer's messages, keeps the channels, sends ours. Used by the
// endpoints; users of channels want channel.hh.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.hh"
#include "ssh/connection/channel.hh"
#include "ssh/connection/channel_core.hh"
#include "ssh/connection/limits.hh"
#include "ssh/transport/transport.hh"
#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) = 0;
  virtual void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) = 0;
  // Something was sent, or a bound was hit: there is work outside of a call from below.
  virtual void on_connection_output() = 0;
};

class ConnectionCore : public std::enable_shared_from_this<ConnectionCore> {
 public:
  // transport, clock and owner outlive it, or end() or detach() comes first.
  ConnectionCore(Transport& transport, Role role, const ConnectionLimits& limits, const Keepalive& keepalive,
                 const Clock& clock, ConnectionOwner& owner);
  ~ConnectionCore();
  ConnectionCore(const ConnectionCore&) = delete;
  ConnectionCore& operator=(const ConnectionCore&) = delete;

  // A message from 80 on. The error ends the connection.
  Status on_packet(BytesView payload);
  // Output has been written: channels that waited for that go on.
  void on_output_room();

  std::optional<SteadyTime> next_deadline() const { return keepalive_deadline_; }
  Status on_time();

  Channel open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler);
  void global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply);
  void send_no_more_sessions();
  std::size_t channel_count() const { return channel_count_; }

  // A send that failed or a bound that was hit outside of on_packet().
  const std::optional<Error>& broken() const { return broken_; }

  // The connection is over: tells every channel and every waiting callback.
  void end();
  // The same without telling anybody.
  void detach();

  // ---- for Channel and the responders
  std::size_t write(ChannelCore& channel, BytesView data, DataKind kind);
  std::size_t writable(ChannelCore& channel);
  void consumed(ChannelCore& channel, std::size_t size);
  void send_eof(ChannelCore& channel);
  void send_eow(ChannelCore& channel);
  void close(ChannelCore& channel);
  void request(ChannelCore& channel, const ChannelRequest& request, Channel::ReplyCallback on_reply);
  void answer_request(ChannelCore& channel, std::uint64_t ticket, bool granted);
  void answer_global(std::uint64_t ticket, bool granted, BytesView payload);
  Channel accept_open(const std::shared_ptr<ChannelCore>& channel, std::shared_ptr<ChannelHandler> handler);
  void reject_open(ChannelCore& channel, OpenFailure reason, std::string_view text);

 private:
  using ChannelRef = std::shared_ptr<ChannelCore>;

  Status on_channel_message(MessageNumber number, BytesView payload);
  Status on_open(BytesView payload);
  Status on_open_confirmation(const ChannelRef& channel, BytesView payload);
  Status on_open_failure(const ChannelRef& channel, BytesView payload);
  Status on_window_adjust(const ChannelRef& channel, BytesView payload);
  Status on_data(const ChannelRef& channel, MessageNumber number, BytesView payload);
  Status on_request(const ChannelRef& channel, BytesView payload);
  Status on_reply(const ChannelRef& channel, bool granted, BytesView payload);
  Status on_global_request(BytesView payload);
  Status on_global_reply(MessageNumber number, BytesView payload);

  bool may_send(const ChannelCore& channel) const;
  std::size_t room(const ChannelCore& channel) const;
  void mark_blocked(ChannelCore& channel);
  void run_writable_queue();
  void grant_window(ChannelCore& channel);
  void tune_window(ChannelCore& channel);
  void shrink_window(ChannelCore& channel, std::uint32_t by);
  bool peer_knows_openssh() const;
  void flush_replies(ChannelCore& channel);
  void flush_global_replies();
  ChannelRef add_channel(ChannelState state);  // null past the limit
  void remove(ChannelCore& channel);           // frees the number; the handler is not called
  void finish(const ChannelRef& channel);      // remove(), then on_closed() and the callbacks that still wait
  void fail_callbacks(ChannelCore& channel);
  void send(BytesView payload);
  void send_for(MessageNumber number, std::uint32_t recipient);
  void send_open_failure(std::uint32_t recipient, OpenFailure reason, std::string_view text);
  void arm_keepalive();

  Transport* transport_;  // null after end() and detach()
  const Role role_;
  const ConnectionLimits limits_;
  const Keepalive keepalive_;
  const Clock& clock_;
  ConnectionOwner* owner_;

  std::vector<ChannelRef> slots_;  // by our number
  std::vector<std::uint32_t> free_slots_;
  std::size_t channel_count_ = 0;
  std::size_t pending_opens_ = 0;
  std::size_t window_growth_ = 0;  // of all channels
  std::deque<std::weak_ptr<ChannelCore>> writable_queue_;
  bool running_queue_ = false;

  std::uint64_t next_ticket_ = 1;
  std::vector<PendingReply> global_replies_;
  std::deque<GlobalReplyCallback> expected_global_replies_;
  bool no_more_sessions_ = false;

  std::optional<SteadyTime> keepalive_deadline_;
  bool heard_ = false;  // something came since the last deadline
  unsigned unanswered_keepalives_ = 0;

  std::optional<Error> broken_;
  Bytes scratch_;  // small messages are built here, without allocation
};

}  // namespace mezite::ssh
