// The decision: may this user, with these roles and traits, log in to this node as this login? Enforcement at the
// agent, lists and `roles explain` all come from here. Pure functions, safe from any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "access/role.hh"

namespace mezite::access {

struct Node {
  std::string_view name;
  const Labels& labels;
};

enum class Reason {
  kAllowed,
  kNoRoles,          // the user has none (that exist)
  kMalformedLogin,   // no account can be called that
  kMalformedLabels,  // the node's labels break check_labels()
  kNodeDenied,       // deny.node_labels of a role match
  kLoginDenied,      // deny.logins of a role hold the login
  kNodeNotAllowed,   // no role's allow.node_labels match
  kLoginNotAllowed,  // roles match the node, but none of them has the login
};
std::string_view to_text(Reason reason);  // "allowed", "login_not_allowed", …

struct Decision {
  bool allowed = false;
  Reason reason = Reason::kNoRoles;
  std::string role;                         // the one that decided; empty when none did
  std::string summary;                      // one sentence, printable
  std::vector<std::string> steps;           // what each role said, in order, printable
  std::vector<std::string> allowed_logins;  // visible_logins() of this node
  SessionOptions options;                   // merged over all roles; require_moderators included
};

Decision decide(std::span<const Role> roles, std::string_view user, const Traits& traits, const Node& node,
                std::string_view login);

// The logins that decide() allows on this node, sorted, each once.
std::vector<std::string> visible_logins(std::span<const Role> roles, const Traits& traits, const Node& node);

// True when at least one login is allowed: whether the node is in the user's list.
bool can_see(std::span<const Role> roles, const Traits& traits, const Node& node);

// Every login that the roles could allow on any node, minus those denied everywhere; the principals of a certificate.
std::vector<std::string> certificate_logins(std::span<const Role> roles, const Traits& traits);

}  // namespace mezite::access
