// Who asks, and whether they may.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "access/role.hh"
#include "base/clock.hh"
#include "base/result.hh"

namespace mezite::auth {

class Services;

struct Caller {
  enum class Kind {
    kAnonymous,
    kUser,   // a session token
    kAgent,  // a client certificate of the Host CA
    kLocal,  // root or the hub's own user, through the local socket: may do everything
  };
  Kind kind = Kind::kAnonymous;
  std::string name;                     // user name; node id of an agent; "local:root"
  std::string node_name;                // of an agent
  std::vector<std::string> role_names;  // of a user
  std::vector<access::Role> roles;      // the same, as they are stored now
  access::Traits traits;
  std::string session_id;  // of the bearer session
  SystemTime logged_in_at{};
  std::string client_ip;  // numeric; empty for the local socket
  std::uint32_t uid = 0;  // of the local socket's peer
  std::int32_t pid = 0;
};

// Looks the session up; kUnauthenticated says how to log in again. Blocks on the store.
Result<Caller> caller_of_session(Services& services, std::string_view session_token, std::string_view client_ip);

// An agent by the leaf of its client certificate (PEM): signed by a Host CA key that is trusted now, valid now, its URI
// names this cluster and a node that is still registered.
Result<Caller> caller_of_certificate(Services& services, std::string_view leaf_pem, std::string_view client_ip);

// The peer of the local socket; its uid has been checked.
Caller caller_of_local_peer(std::uint32_t uid, std::int32_t pid);

// A role rule covers resource and verb (access::may), or the caller is local. A refusal is audited as authz.denied; its
// text names what is missing.
Status require(Services& services, const Caller& caller, std::string_view resource, std::string_view verb);

// The same question without the event, for deciding how much of a list to show.
bool allowed(const Caller& caller, std::string_view resource, std::string_view verb);

}  // namespace mezite::auth
