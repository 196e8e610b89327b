// Calls for a way to the hub on which a load balancer ends TLS: signed by the agent, answered by the hub with a
// signature that leads to the Host CA (docs/protocols.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/hub/identity.hh"

namespace mezite::v1 {
class SealedAnswer;
class SealedCall;
}  // namespace mezite::v1

namespace mezite::agent {

// Thread-safe.
class Sealer {
 public:
  // An agent that has joined: its key signs, and the Host CA keys that it trusts are those of answers.
  static Result<Sealer> of(const AgentIdentity& identity);
  // One that has not: nothing is signed, and answers must lead to a Host CA that has each of the pins.
  static Sealer before_join(std::vector<std::string> pins);

  Result<v1::SealedCall> seal(std::string_view method, std::string request) const;
  // The answer's content, if it is the hub's, to this very call. kUnauthenticated.
  Result<std::string> open(const v1::SealedCall& call, const v1::SealedAnswer& answer) const;

 private:
  Sealer() = default;
  Status verify_chain(const std::vector<crypto::X509Certificate>& chain) const;

  std::string cluster_name_;
  Bytes certificate_;  // DER
  std::optional<crypto::SigningKey> key_;
  std::vector<crypto::X509Certificate> roots_;
  std::vector<std::string> pins_;
};

}  // namespace mezite::agent
