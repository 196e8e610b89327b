// Authentication (RFC 4252, RFC 4256) as its users see it: what is asked, what is answered, who it turned out to be.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/secret.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::ssh {

enum class AuthMethod { kNone, kPublicKey, kKeyboardInteractive };
std::string_view auth_method_name(AuthMethod method);  // as on the wire: "publickey"

// kOffered: the client asks whether this key would do (RFC 4252 §7, no signature); say what you would say to the proof.
// kProven: a signature by this very key over this session, user, service and algorithm has been verified.
enum class KeyProof { kOffered, kProven };

// One request, valid during the call that hands it over; copy what you need for later.
struct AuthRequest {
  std::string user;
  std::string service;  // always "ssh-connection"
  AuthMethod method = AuthMethod::kNone;
  std::string peer_software;  // the client's identification, for the audit log

  // kPublicKey. With a certificate, key is the certified key; the certificate is parsed, its CA's signature and its
  // content are NOT verified: that is verify_certificate()'s work, with your CAs.
  std::optional<PublicKey> key;
  std::optional<Certificate> certificate;
  std::string algorithm;  // the public key algorithm of the request
  KeyProof proof = KeyProof::kOffered;

  // kKeyboardInteractive: empty in round 0; then one answer for each prompt of the last challenge.
  unsigned round = 0;
  std::vector<Secret> answers;

  BytesView session_id;
  unsigned attempt = 0;  // failed attempts before this one
};

// What the steps of an authentication leave allowed. Steps accumulate: a permission stays only if each step grants it,
// every force-command and source-address list of every step stays in force (x/crypto CVE-2026-39828, CVE-2026-46595).
struct Restrictions {
  bool pty = true;
  bool port_forwarding = true;
  bool agent_forwarding = true;
  bool x11_forwarding = true;
  bool user_rc = true;
  std::vector<std::string> force_commands;    // more than one distinct: authentication fails
  std::vector<std::string> source_addresses;  // each a comma separated CIDR list; the peer must match all
  bool operator==(const Restrictions&) const = default;

  void add(const Restrictions& other);
};

struct Prompt {
  std::string text;
  bool echo = false;
};
struct KeyboardInteractiveChallenge {
  std::string name;
  std::string instruction;
  std::vector<Prompt> prompts;  // at most 16
};

// Who is at the other end, bound once in the success transition, from the key that signed (x/crypto CVE-2024-45337).
struct PeerIdentity {
  std::string user;
  std::optional<PublicKey> key;            // nothing when no step was publickey
  std::optional<Certificate> certificate;  // nothing when the key came bare
  Restrictions restrictions;               // of all steps together
  std::vector<AuthMethod> steps;           // in the order passed
};

// The answer to an AuthRequest: one call, now or later; destroyed without one, it rejects. Until then nothing more is
// read from the client. Harmless after the endpoint is gone.
class ServerAuth;
class AuthResponder {
 public:
  AuthResponder() = default;
  AuthResponder(std::weak_ptr<ServerAuth> auth, std::uint64_t ticket) : auth_(std::move(auth)), ticket_(ticket) {}
  AuthResponder(AuthResponder&& other) noexcept { swap(other); }
  AuthResponder& operator=(AuthResponder&& other) noexcept {
    swap(other);
    return *this;
  }
  ~AuthResponder() { reject(); }

  // Lets the client in; to a kOffered key: "yes, sign with it".
  void accept(const Restrictions& restrictions = {});
  // This step passed, one of these methods must follow. To a kOffered key the same as accept().
  void partial(const std::vector<AuthMethod>& methods, const Restrictions& restrictions = {});
  // Asks (on) by keyboard-interactive; only in answer to a kKeyboardInteractive request. Answers come as a new
  // AuthRequest.
  void challenge(const KeyboardInteractiveChallenge& challenge);
  // The constant failure; the client never learns why.
  void reject();

 private:
  void swap(AuthResponder& other) noexcept {
    auth_.swap(other.auth_);
    std::swap(ticket_, other.ticket_);
  }

  std::weak_ptr<ServerAuth> auth_;
  std::uint64_t ticket_ = 0;
};

// Client side: the answers to a challenge, one for each prompt, now or later. Destroyed unanswered: the method is given
// up.
class ClientAuth;
class ChallengeResponder {
 public:
  ChallengeResponder() = default;
  ChallengeResponder(std::weak_ptr<ClientAuth> auth, std::uint64_t ticket) : auth_(std::move(auth)), ticket_(ticket) {}
  ChallengeResponder(ChallengeResponder&& other) noexcept { swap(other); }
  ChallengeResponder& operator=(ChallengeResponder&& other) noexcept {
    swap(other);
    return *this;
  }
  ~ChallengeResponder() { give_up(); }

  void answer(std::vector<Secret> answers);
  void give_up();

 private:
  void swap(ChallengeResponder& other) noexcept {
    auth_.swap(other.auth_);
    std::swap(ticket_, other.ticket_);
  }

  std::weak_ptr<ClientAuth> auth_;
  std::uint64_t ticket_ = 0;
};

}  // namespace mezite::ssh
