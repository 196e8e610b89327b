// Workload identities: registering them, and what the SPIFFE CA signs for them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

// workload_identity.created; agents are told.
Result<identity::Workload> register_workload(Services& services, const Caller& caller, identity::NewWorkload workload);
// workload_identity.deleted; agents are told.
Status remove_workload(Services& services, const Caller& caller, std::string_view name);

// Those whose selectors say nothing against processes on this node, the oldest first.
Result<std::vector<identity::Workload>> workloads_of_node(Services& services, std::string_view node_id);

struct IssuedX509 {
  std::string spiffe_id;
  std::string certificate_pem;
  std::string bundle_pem;  // every CA that is trusted now, the one that signs first
  SystemTime expires_at;
};
struct IssuedJwt {
  std::string spiffe_id;
  std::string token;
  SystemTime expires_at;
};

// By hand: whoever calls may issue. workload.svid.issued.
Result<IssuedX509> issue_x509_svid(Services& services, const Caller& caller, std::string_view name,
                                   BytesView public_key_spki);
Result<IssuedJwt> issue_jwt_svid(Services& services, const Caller& caller, std::string_view name,
                                 const std::vector<std::string>& audiences);

// For a process on the agent's node, of a registration by its id. kPermissionDenied when that is not for this node, or
// gone: which of them is in the audit log (workload.svid.refused) only.
Result<IssuedX509> issue_agent_x509_svid(Services& services, const Caller& agent, std::string_view id,
                                         BytesView public_key_spki);
Result<IssuedJwt> issue_agent_jwt_svid(Services& services, const Caller& agent, std::string_view id,
                                       const std::vector<std::string>& audiences);

}  // namespace mezite::auth
