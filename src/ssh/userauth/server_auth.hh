// The server's side of authentication: a state machine over a transport, decided by its owner. For the endpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssh/transport/transport.hh"
#include "ssh/userauth/auth.hh"
#include "ssh/userauth/states.hh"
#include "ssh/wire/userauth_messages.hh"

namespace mezite::ssh {

class ServerAuthOwner {
 public:
  virtual ~ServerAuthOwner() = default;
  virtual void on_auth_request(const AuthRequest& request, AuthResponder responder) = 0;
  virtual void on_auth_refused(const AuthRequest& request, std::string_view why) = 0;
  // USERAUTH_SUCCESS is sent and the transport admits the connection protocol.
  virtual void on_auth_success(PeerIdentity identity) = 0;
  // The connection must end; only for what happens outside of on_packet().
  virtual void on_auth_error(const Error& error) = 0;
  virtual void on_auth_output() = 0;
  // A decision came later than its request: the transport's input is to be released.
  virtual void on_auth_resume() = 0;
};

struct ServerAuthSettings {
  std::string_view banner;  // outlives the machine
  std::vector<AuthMethod> methods;
  unsigned max_attempts = 6;
  unsigned max_offers = 32;
};

class ServerAuth : public std::enable_shared_from_this<ServerAuth> {
 public:
  ServerAuth(Transport& transport, ServerAuthSettings settings, ServerAuthOwner& owner);

  // A message 50–79. The error ends the connection. While a decision is awaited the transport holds its input.
  Status on_packet(BytesView payload);
  // A decision is awaited: nothing more should be read from the client.
  bool is_deciding() const { return state_ == ServerAuthState::kDeciding; }
  // Nobody is called any more.
  void stop();

  // ---- for AuthResponder
  enum class Verdict { kAccept, kPartial, kReject };
  void decide(std::uint64_t ticket, Verdict verdict, const std::vector<AuthMethod>& methods,
              const Restrictions& restrictions);
  void challenge(std::uint64_t ticket, const KeyboardInteractiveChallenge& challenge);

 private:
  Status on_request(BytesView payload);
  void on_publickey(const UserauthRequest& message, BytesView payload);
  Status on_info_response(BytesView payload);
  void ask();
  void refuse(std::string_view why);
  void pass_step(const Restrictions& restrictions);
  void succeed();
  void send_failure(bool partial);
  void count_failure();
  void give_up(DisconnectReason reason, std::string_view text);
  void resume();
  bool offers(AuthMethod method) const;
  void send(BytesView payload);

  Transport& transport_;
  const ServerAuthSettings settings_;
  ServerAuthOwner* owner_;  // null after stop()

  ServerAuthState state_ = ServerAuthState::kIdle;
  std::uint64_t ticket_ = 0;  // of the decision awaited
  std::uint64_t last_ticket_ = 0;
  AuthRequest current_;
  std::vector<AuthMethod> methods_;  // what may come next
  std::size_t prompts_asked_ = 0;
  unsigned failures_ = 0;
  unsigned offers_ = 0;
  unsigned requests_ = 0;
  bool banner_sent_ = false;
  bool none_seen_ = false;
  std::optional<std::string> user_;  // of the first request; another one ends the connection
  PeerIdentity identity_;            // grows with each step that passes

  bool dispatching_ = false;
  bool holding_ = false;
  std::optional<Error> fatal_;
};

}  // namespace mezite::ssh
