// A channel of RFC 4254 §5 as its user sees it: a handle to write with, a handler that is called.
//
// One thread: everything here belongs to the thread that drives the endpoint. A handler may do anything from inside a
// callback: write, close the channel, close or destroy the endpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.hh"
#include "ssh/connection/requests.hh"

namespace mezite::ssh {

class ChannelHandler;
class ChannelCore;
class ConnectionCore;

enum class DataKind { kStdout, kStderr };  // SSH_MSG_CHANNEL_DATA, and EXTENDED_DATA of type 1

// A handle; copies name the same channel. On a channel that is closed (or a default Channel) each function does
// nothing, writes take 0 bytes. Holding a handle keeps neither the endpoint nor the handler alive.
class Channel {
 public:
  Channel() = default;
  explicit Channel(std::shared_ptr<ChannelCore> core) : core_(std::move(core)) {}

  bool is_open() const;      // confirmed, and not yet closed by either end
  std::uint32_t id() const;  // our number of the channel
  bool operator==(const Channel&) const = default;

  // Sends as much as the peer's window, its packet size and the output high-water mark allow, and says how much.
  // Nothing is queued: the rest is the caller's to send again from on_writable(), which comes whenever room returns
  // after a write (or writable()) that fell short. 0 after send_eof() or close().
  std::size_t write(BytesView data, DataKind kind = DataKind::kStdout);
  std::size_t write_stderr(BytesView data) { return write(data, DataKind::kStderr); }
  // How much write() would take now.
  std::size_t writable() const;

  // The handler is done with this many bytes of on_data(); the peer may send as many more.
  void consumed(std::size_t size);

  void send_eof();
  // "Send no more": our side has stopped reading, data that comes is dropped by whoever called this. Only OpenSSH and
  // our own peers understand it; nothing is sent to others. The channel stays open (eow@openssh.com).
  void send_eow();
  void send_exit_status(std::uint32_t code);
  void send_exit_signal(const ExitSignal& signal);
  // Sends CLOSE (what was written goes first); data that still arrives is dropped; on_closed() comes when the peer has
  // closed too. A channel whose open is still unanswered is closed as soon as it is confirmed.
  void close();

  // Asks the peer. With a callback the peer is asked for a reply, and it is called with true for success, false for
  // failure or for a channel that closed first. Replies come in the order of the requests.
  using ReplyCallback = std::move_only_function<void(bool granted)>;
  void request(const ChannelRequest& request, ReplyCallback on_reply = {});

  std::uint64_t bytes_sent() const;
  std::uint64_t bytes_received() const;

 private:
  std::shared_ptr<ChannelCore> core_;
};

// The answer to one channel request. Call one of the functions once, now or later; destroyed without, it rejects.
// Answers go out in the order of the requests. Harmless after the channel or the endpoint is gone.
class RequestResponder {
 public:
  RequestResponder() = default;
  RequestResponder(std::weak_ptr<ChannelCore> channel, std::uint64_t ticket)
      : channel_(std::move(channel)), ticket_(ticket) {}
  RequestResponder(RequestResponder&& other) noexcept { swap(other); }
  RequestResponder& operator=(RequestResponder&& other) noexcept {
    swap(other);
    return *this;
  }
  ~RequestResponder() { reject(); }

  bool wants_reply() const {
    return ticket_ != 0;
  }  // false: the answer is not sent, either function may be called all the same
  void accept() { answer(true); }
  void reject() { answer(false); }

 private:
  void swap(RequestResponder& other) noexcept {
    channel_.swap(other.channel_);
    std::swap(ticket_, other.ticket_);
  }
  void answer(bool granted);

  std::weak_ptr<ChannelCore> channel_;
  std::uint64_t ticket_ = 0;
};

// What a channel tells its owner. Shared: the connection holds it from accept()/open_channel() until on_closed() or
// on_open_failed() has returned (or the endpoint is destroyed, then without a further call).
class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;

  // The channel is confirmed. First call; keep the handle.
  virtual void on_open(Channel channel) = 0;
  // Our open was refused, or the connection ended before an answer. No further call.
  virtual void on_open_failed(OpenFailure reason, std::string_view text) { (void)reason, (void)text; }

  // Bytes in the receive buffer: valid during the call. Never empty. Owe the channel consumed(data.size()), now or
  // later.
  virtual void on_data(BytesView data, DataKind kind) = 0;
  virtual void on_eof() {}
  // The peer does nothing with what we send (eow@openssh.com): stop, and let the source of the data know.
  virtual void on_peer_stopped_reading() {}
  // exit-status and exit-signal come this way as well. Default: refused.
  virtual void on_request(const ChannelRequest& request, RequestResponder responder) { (void)request, (void)responder; }
  // Room returned after a write fell short.
  virtual void on_writable() {}
  // Both ends have closed, or the connection is gone. Last call.
  virtual void on_closed() {}
};

// The answer to a channel open of the peer; as RequestResponder. Destroyed without an answer:
// kAdministrativelyProhibited.
class ChannelOpenResponder {
 public:
  ChannelOpenResponder() = default;
  explicit ChannelOpenResponder(std::weak_ptr<ChannelCore> channel) : channel_(std::move(channel)) {}
  ChannelOpenResponder(ChannelOpenResponder&&) noexcept = default;
  ChannelOpenResponder& operator=(ChannelOpenResponder&& other) noexcept {
    channel_.swap(other.channel_);
    return *this;
  }
  ~ChannelOpenResponder() { reject(OpenFailure::kAdministrativelyProhibited, "refused"); }

  // handler->on_open() is called from inside. Returns the same handle; a dead one when the connection is gone.
  Channel accept(std::shared_ptr<ChannelHandler> handler);
  // The text is shown to the user by most clients: one sentence.
  void reject(OpenFailure reason, std::string_view text);

 private:
  std::weak_ptr<ChannelCore> channel_;
};

// The answer to a global request; as RequestResponder, in order.
class GlobalRequestResponder {
 public:
  GlobalRequestResponder() = default;
  GlobalRequestResponder(std::weak_ptr<ConnectionCore> connection, std::uint64_t ticket)
      : connection_(std::move(connection)), ticket_(ticket) {}
  GlobalRequestResponder(GlobalRequestResponder&& other) noexcept { swap(other); }
  GlobalRequestResponder& operator=(GlobalRequestResponder&& other) noexcept {
    swap(other);
    return *this;
  }
  ~GlobalRequestResponder() { reject(); }

  bool wants_reply() const { return ticket_ != 0; }
  void accept() { answer(true, {}); }
  void accept_with(BytesView payload) { answer(true, payload); }
  // tcpip-forward: the port that is bound. It goes back when port 0 was asked for; the same as accept() otherwise.
  void accept_port(std::uint32_t port);
  void reject() { answer(false, {}); }

 private:
  void swap(GlobalRequestResponder& other) noexcept {
    connection_.swap(other.connection_);
    std::swap(ticket_, other.ticket_);
  }
  void answer(bool granted, BytesView payload);

  std::weak_ptr<ConnectionCore> connection_;
  std::uint64_t ticket_ = 0;
};

// reply is the payload of REQUEST_SUCCESS, nothing for REQUEST_FAILURE and for a connection that ended first.
using GlobalReplyCallback = std::move_only_function<void(std::optional<BytesView> reply)>;

}  // namespace mezite::ssh
