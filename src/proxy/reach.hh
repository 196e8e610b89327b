// May this user be connected to this node at all? The agent decides about the login, with the same code.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "access/labels.hh"
#include "proxy/denial.hh"
#include "proxy/router.hh"

namespace mezite::proxy {

// Who asks, from a certificate or a session.
struct Visitor {
  std::string user;
  std::vector<std::string> role_names;
  access::Traits traits;
};

// The roles and traits that a certificate of our User CA carries. Malformed ones are an error: they were never issued.
Result<Visitor> visitor_of_certificate(const ssh::Certificate& certificate);

// Where to, or why not.
using Reach = std::variant<DialTarget, Denial>;

// "web-01" or "web-01.cluster". Unknown nodes and those without a login for this user are answered in the same words.
// Blocks on the store: on a worker. kInternal, kIo when the store fails.
Result<Reach> reach_node(auth::Services& services, const Visitor& visitor, std::string_view name,
                         const std::string& client_address);
// By id, for a ticket: the decision was made when the ticket was.
Result<DialTarget> target_of_ticket(auth::Services& services, const DialTicket& ticket,
                                    const std::string& client_address);

// A lock on the user, one of the roles, the node or the login that is in force: what it says, or nothing.
Result<std::optional<std::string>> find_lock(auth::Services& services, const Visitor& visitor, std::string_view node_id,
                                             std::string_view node_name, std::string_view login);

// The user still exists, and no lock is on user or roles. A Denial otherwise.
Result<std::optional<Denial>> check_user(auth::Services& services, const Visitor& visitor);

// Without ".<cluster name>" at its end.
std::string_view plain_node_name(const auth::Services& services, std::string_view name);

// What a user reads for a node that is not there or not for them.
std::string no_such_node(std::string_view name);

}  // namespace mezite::proxy
