// The decision about a user, a node and a login as the hub sees it now: what `roles explain` shows and the proxy asks
// before it lets a connection through. The agent decides again, with the same code.
#pragma once

#include <string_view>
#include <vector>

#include "access/decide.hh"
#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

// kNotFound for a user or a node that is not there.
Result<access::Decision> explain_access(Services& services, std::string_view user, std::string_view node,
                                        std::string_view login);

struct VisibleNode {
  identity::Node node;
  bool connected = false;
  std::vector<std::string> logins;
};
// The nodes on which the caller has at least one login, by name.
Result<std::vector<VisibleNode>> visible_nodes(Services& services, const Caller& caller);

}  // namespace mezite::auth
