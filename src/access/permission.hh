// Permissions on the admin API: rules of roles, {resources, verbs}, deny over allow.
#pragma once

#include <span>
#include <string_view>

#include "access/role.hh"

namespace mezite::access {

// What a rule may name.
inline constexpr std::string_view kResources[] = {"users",
                                                  "roles",
                                                  "tokens",
                                                  "nodes",
                                                  "ca",
                                                  "audit",
                                                  "recordings",
                                                  "sessions",
                                                  "requests",
                                                  "connectors",
                                                  "locks",
                                                  "cluster",
                                                  "apps",
                                                  "trusted_clusters",
                                                  "workload_identities",
                                                  "devices",
                                                  "agent_identities"};
inline constexpr std::string_view kVerbs[] = {"list",   "read",   "create", "update", "delete",
                                              "rotate", "revoke", "issue",  "*"};

// may(roles, "users", "list"): an allow rule covers it and no deny rule does. False for no roles.
bool may(std::span<const Role> roles, std::string_view resource, std::string_view verb);

}  // namespace mezite::access
