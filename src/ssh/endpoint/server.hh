// The server's end: transport, authentication and connection protocol behind one object.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "ssh/connection/channel.hh"
#include "ssh/connection/limits.hh"
#include "ssh/endpoint/endpoint.hh"
#include "ssh/transport/transport.hh"
#include "ssh/userauth/auth.hh"

namespace mezite::ssh {

// Shared by all connections of a listener; not changed while in use.
struct ServerConfig {
  std::string banner;                                       // shown before authentication; empty: none
  std::vector<AuthMethod> methods{AuthMethod::kPublicKey};  // what the first step may be
  unsigned max_attempts = 6;                                // failures (not offers); then disconnected
  unsigned max_offers = 32;                                 // keys offered without proof; then disconnected
  std::chrono::milliseconds auth_timeout{120'000};          // from accept to success
  bool announce_host_keys = true;                           // after success, and prove them when asked (hostkeys-00)
  Keepalive keepalive;
  ConnectionLimits limits;
  TransportConfig transport{.role = Role::kServer};  // host keys, algorithms, rekey limits
};

class ServerEndpoint;

// Owned by the user, must outlive the endpoint (or be destroyed together with it, endpoint first).
class ServerHandler {
 public:
  virtual ~ServerHandler() = default;

  virtual void on_auth_request(const AuthRequest& request, AuthResponder responder) = 0;
  // For the audit log: a request that was refused before you were asked (bad signature, too many attempts, not
  // offered).
  virtual void on_auth_refused(const AuthRequest& request, std::string_view why) { (void)request, (void)why; }
  virtual void on_authenticated(const PeerIdentity& identity) = 0;
  virtual void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) = 0;
  // Forwards asked for or cancelled, and requests that the library does not know. The answer may come later; answers go
  // out in the order of the requests. Default: refused.
  virtual void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) {
    (void)request, (void)responder;
  }
  // The connection is over; all channels have had on_closed(). Called once, last. A clean end (the client disconnected
  // or closed the stream after authentication) carries ErrorCode::kUnavailable.
  virtual void on_closed(const Error& error) = 0;
};

class ServerEndpoint final : public Endpoint {
 public:
  ServerEndpoint(std::shared_ptr<const ServerConfig> config, ServerHandler& handler, const Clock& clock);
  ~ServerEndpoint() override;  // no handler is called from here on

  std::span<std::uint8_t> read_space() override;
  void commit_read(std::size_t size) override;
  void on_stream_end(std::optional<Error> error = std::nullopt) override;
  BytesView pending_output() const override;
  void consume_output(std::size_t size) override;
  std::size_t output_size() const override;
  bool wants_close() const override;
  const Error* error() const override;
  std::optional<SteadyTime> next_deadline() const override;
  void on_time() override;
  void set_wakeup(std::move_only_function<void()> wakeup) override;

  const PeerIdentity* identity() const;  // null before authentication
  BytesView session_id() const;          // empty before the first key exchange is done
  const Transport* transport() const;    // for what was negotiated and counted; null when it could not be made

  // As ClientEndpoint: forwarded-tcpip and the other types that are a server's to open (connection/requests.hh), or
  // channels of our own such as "control@mezite.com".
  Channel open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler);
  void global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply = {});
  void global_request(const GlobalRequest& request, GlobalReplyCallback on_reply = {});
  std::size_t channel_count() const;

  // DISCONNECT by application, with a sentence for the user; on_closed() comes before this returns.
  void disconnect(std::string_view text);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mezite::ssh
