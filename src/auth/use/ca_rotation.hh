// Rotating a CA: steps, who has caught up, and what follows a step (the hub's own certificates, the agents, the audit
// log).
#pragma once

#include <string>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

// What an agent says of the CAs on its control connection: fingerprints (SHA256:…).
struct CaReport {
  std::int64_t revision = 0;  // of its trust bundle
  std::vector<std::string> user, host, spiffe;
  std::string ssh_signer, x509_signer;  // of its own certificates
};
// As it is kept with the node; bounded, whatever an agent sends.
std::string to_json(const CaReport& report);

struct CaView {
  pki::AuthorityStatus ca;
  std::vector<std::string> lagging;  // names of nodes that have not caught up
  std::vector<std::string> cut_off;  // of these, those that an advance would cut off
  std::vector<pki::RetiredKey> retired;
};
Result<std::vector<CaView>> view_cas(Services& services);

// Mints the new key and goes to update_clients; from init it tries again. When the key can't be made (a KMS that
// refuses) the CA stays at init on its old key, and the error says what is missing. ca.rotation.started, .advanced or
// .failed.
Status rotate_ca(Services& services, const Caller& caller, pki::AuthorityType type);

enum class Force { kNo, kYes };
// To the next phase. Without force kFailedPrecondition names the nodes that would be cut off. ca.rotation.advanced or
// .completed.
Status advance_ca(Services& services, const Caller& caller, pki::AuthorityType type, Force force);

// ca.rotation.rolled_back.
Status roll_back_ca(Services& services, const Caller& caller, pki::AuthorityType type);

}  // namespace mezite::auth
