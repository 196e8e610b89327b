// What both ends share: the transport, the connection protocol, when it is over, who must be woken. Not for users.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ssh/connection/connection.hh"
#include "ssh/endpoint/endpoint.hh"
#include "ssh/transport/transport.hh"

namespace mezite::ssh {

// Shared, because a handler may destroy the endpoint from inside a callback: each entry holds the core until it
// returns.
class EndpointCore : public PacketSink, public ConnectionOwner, public std::enable_shared_from_this<EndpointCore> {
 public:
  EndpointCore(const Clock& clock, const ConnectionLimits& limits, const Keepalive& keepalive,
               std::chrono::milliseconds auth_timeout);
  ~EndpointCore() override;

  std::span<std::uint8_t> read_space();
  void commit_read(std::size_t size);
  void on_stream_end(std::optional<Error> error);
  BytesView pending_output() const;
  void consume_output(std::size_t size);
  std::size_t output_size() const { return transport_ ? transport_->output_size() : 0; }
  bool wants_close() const { return ended_; }
  const Error* error() const { return error_ ? &*error_ : nullptr; }
  std::optional<SteadyTime> next_deadline() const;
  void on_time();
  void set_wakeup(std::move_only_function<void()> wakeup) { wakeup_ = std::move(wakeup); }

  Channel open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler);
  void global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply);
  void send_no_more_sessions() {
    if (!ended_ && connection_) connection_->send_no_more_sessions();
  }
  std::size_t channel_count() const { return connection_ ? connection_->channel_count() : 0; }
  const Transport* transport_or_null() const { return transport_.get(); }
  BytesView session_id() const { return transport_ ? transport_->session_id() : BytesView(); }
  void disconnect(std::string_view text);

  // The endpoint is being destroyed: nobody is called any more.
  void detach();

 protected:
  // A message 50–79.
  virtual Status on_auth_packet(BytesView payload) = 0;
  // The peer has to wait for a decision about it.
  virtual bool is_input_held() const = 0;
  virtual void stop_auth() = 0;
  virtual void report_closed(const Error& error) = 0;
  virtual void forget_handler() = 0;

  // The end of construction: error() says when the configuration cannot work.
  void start(Result<std::unique_ptr<Transport>> transport);
  void begin_connection(Role role);
  bool is_authenticated() const { return connection_ != nullptr; }
  void end(Error error);
  // Output may be there, or something else for the driver to look at.
  void touched();
  // What the peer sent while the input was held.
  void release_input();

  Transport& transport() { return *transport_; }
  const Clock& clock() const { return clock_; }
  bool ended() const { return ended_; }
  bool detached() const { return detached_; }

 private:
  class Entry;

  Status on_packet(BytesView payload) override;
  void on_peer_disconnect(DisconnectReason reason, std::string_view text) override;
  void on_connection_output() override { touched(); }
  void settle(Status status);

  const Clock& clock_;
  const ConnectionLimits limits_;
  const Keepalive keepalive_;
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<ConnectionCore> connection_;  // from authentication on

  std::optional<SteadyTime> auth_deadline_;
  std::optional<Error> peer_goodbye_;
  std::optional<Error> error_;
  bool ended_ = false;
  bool closing_unreported_ = false;  // failed before there was anybody to tell
  bool detached_ = false;

  unsigned entries_ = 0;
  std::move_only_function<void()> wakeup_;
  mutable bool woken_ = false;
};

}  // namespace mezite::ssh
