// The client's end: transport, authentication and connection protocol behind one object.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "ssh/connection/channel.hh"
#include "ssh/connection/limits.hh"
#include "ssh/endpoint/endpoint.hh"
#include "ssh/keys/identity.hh"
#include "ssh/transport/transport.hh"
#include "ssh/userauth/auth.hh"

namespace mezite::ssh {

struct ClientConfig {
  std::string user;
  std::vector<Identity> identities;  // keys to prove, tried in this order
  bool keyboard_interactive = true;  // ask the handler when the server offers it
  std::chrono::milliseconds auth_timeout{120'000};
  Keepalive keepalive;
  ConnectionLimits limits;
  TransportConfig transport;  // algorithms, rekey limits; role and verify_host_key are set by the endpoint
};

// Owned by the user, must outlive the endpoint (or be destroyed together with it, endpoint first).
class ClientHandler {
 public:
  virtual ~ClientHandler() = default;

  // Is this the server meant? The key has signed the key exchange; with a certificate, key is the certified key and
  // verify_certificate() is yours to call. An error ends the connection with it.
  virtual Status on_host_key(const PublicKey& key, const Certificate* certificate) = 0;
  virtual void on_banner(std::string_view text) { (void)text; }
  // Default: given up.
  virtual void on_challenge(const KeyboardInteractiveChallenge& challenge, ChallengeResponder responder) {
    (void)challenge, (void)responder;
  }
  virtual void on_authenticated() = 0;
  // The server opens forwarded-tcpip, forwarded-streamlocal, auth-agent, x11, or something of its own. Accept only what
  // had been asked for (a forward, agent or X11 forwarding on a session): a server may open anything at any time.
  // Default: refused.
  virtual void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) { (void)open, (void)responder; }
  virtual void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) {
    (void)request, (void)responder;
  }
  // The server says which host keys it has (hostkeys-00@openssh.com); they are only names yet. Returns those that it
  // shall prove, for instance all that are not in known_hosts: on_host_keys_proven() follows then. At most once.
  // Default: none.
  virtual std::vector<PublicKey> on_host_keys(const std::vector<PublicKey>& announced) {
    (void)announced;
    return {};
  }
  // Each of these has signed this very session, and may be believed as the key that on_host_key() was asked about. An
  // error: the server did not, or could not, prove one of them; none is to be believed.
  virtual void on_host_keys_proven(const Result<std::vector<PublicKey>>& keys) { (void)keys; }
  // The connection is over; all channels have had on_closed() or on_open_failed(). Called once, last. Authentication
  // that failed: ErrorCode::kUnauthenticated; host key refused: what on_host_key() gave.
  virtual void on_closed(const Error& error) = 0;
};

class ClientEndpoint final : public Endpoint {
 public:
  ClientEndpoint(ClientConfig config, ClientHandler& handler, const Clock& clock);
  ~ClientEndpoint() override;  // no handler is called from here on

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

  bool authenticated() const;
  BytesView session_id() const;        // empty before the first key exchange is done
  const Transport* transport() const;  // for what was negotiated and counted; null when it could not be made

  // Asks for a channel; handler->on_open() or on_open_failed() follows. Before authentication, or past the limit of
  // channels: fails with on_open_failed() before this returns, and gives a dead handle.
  Channel open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler);
  // With a callback a reply is asked for; it is called with nothing for a failure or when the connection ends first.
  // For TcpipForwardRequest of port 0, forwarded_port() of the reply is the port that the server bound.
  void global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply = {});
  void global_request(const GlobalRequest& request, GlobalReplyCallback on_reply = {});
  // The server shall refuse any further session (no-more-sessions@openssh.com): somebody who takes this client over
  // can't open one. Only servers that are known to understand it are told. Call it when the last session is open.
  void send_no_more_sessions();
  std::size_t channel_count() const;

  // DISCONNECT by application, with a sentence for the other end; on_closed() comes before this returns.
  void disconnect(std::string_view text);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mezite::ssh
