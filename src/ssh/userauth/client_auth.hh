// The client's side of authentication: which method next, with which key. For the endpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssh/keys/identity.hh"
#include "ssh/transport/transport.hh"
#include "ssh/userauth/auth.hh"
#include "ssh/userauth/states.hh"
#include "ssh/wire/userauth_messages.hh"

namespace mezite::ssh {

class ClientAuthOwner {
 public:
  virtual ~ClientAuthOwner() = default;
  virtual void on_auth_banner(std::string_view text) = 0;
  virtual void on_auth_challenge(const KeyboardInteractiveChallenge& challenge, ChallengeResponder responder) = 0;
  virtual void on_auth_success() = 0;
  // The connection must end; only for what happens outside of on_packet().
  virtual void on_auth_error(const Error& error) = 0;
  virtual void on_auth_output() = 0;
};

// What the machine needs of the client's configuration; outlives it.
struct ClientAuthSettings {
  std::string_view user;
  const std::vector<Identity>& identities;
  bool keyboard_interactive = true;
};

class ClientAuth : public std::enable_shared_from_this<ClientAuth> {
 public:
  ClientAuth(Transport& transport, ClientAuthSettings settings, ClientAuthOwner& owner);

  // The service is there. One key: it is proven at once, which saves two round trips. Otherwise "none" asks for the
  // methods first.
  Status start();
  Status on_packet(BytesView payload);
  void stop();

  // ---- for ChallengeResponder
  void answer(std::uint64_t ticket, std::vector<Secret> answers);
  void give_up_challenge(std::uint64_t ticket);

 private:
  Status on_failure(BytesView payload);
  Status on_key_ok(BytesView payload);
  Status on_info_request(BytesView payload);
  Status on_banner(BytesView payload);
  Status try_next();
  // The algorithm to use this key with; nothing when the server cannot verify any.
  const PublicKeyAlgorithm* choose_algorithm(const Identity& identity) const;
  Status offer(const Identity& identity, const PublicKeyAlgorithm& algorithm);
  Status prove(const Identity& identity, const PublicKeyAlgorithm& algorithm);
  enum class Proof { kNone, kSigned };
  // Bound to the server's host key when the server understands that.
  Bytes publickey_request(const Identity& identity, const PublicKeyAlgorithm& algorithm, Proof proof,
                          std::optional<BytesView> signature) const;
  Status send(BytesView payload);

  Transport& transport_;
  const ClientAuthSettings settings_;
  ClientAuthOwner* owner_;

  ClientAuthState state_ = ClientAuthState::kIdle;
  std::vector<std::string> methods_;
  std::size_t next_identity_ = 0;
  const Identity* current_ = nullptr;
  const PublicKeyAlgorithm* algorithm_ = nullptr;
  bool interactive_tried_ = false;
  unsigned failures_ = 0;
  unsigned rounds_ = 0;
  std::size_t prompts_ = 0;
  std::size_t banner_bytes_ = 0;
  std::uint64_t ticket_ = 0;
  std::uint64_t last_ticket_ = 0;
  std::string notes_;  // why keys were passed over, for the final error
};

}  // namespace mezite::ssh
