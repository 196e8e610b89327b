// The built-in roles, written as the documents that a user could have written.
#include <cstdlib>
#include <string>
#include <vector>

#include "access/role.hh"
#include "base/log.hh"

namespace mezite::access {
namespace {

constexpr std::string_view kDocuments[] = {
    R"(
kind: role
version: v1
metadata: {name: admin, description: "Everything in the admin API"}
spec:
  allow:
    rules: [{resources: ["*"], verbs: ["*"]}]
)",
    R"(
kind: role
version: v1
metadata: {name: access, description: "Every node, as the logins among the user's own traits"}
spec:
  allow:
    node_labels: {"*": "*"}
    logins: ["{{internal.logins}}"]
)",
    R"(
kind: role
version: v1
metadata: {name: editor, description: "Changes configuration, but not users' data: no recordings, no audit"}
spec:
  allow:
    rules:
      - {resources: [users, roles, tokens, nodes, connectors, locks, cluster, apps], verbs: ["*"]}
      - {resources: [trusted_clusters, workload_identities, agent_identities, devices], verbs: ["*"]}
      - {resources: [ca], verbs: [list, read]}
)",
    R"(
kind: role
version: v1
metadata: {name: auditor, description: "Reads audit events and recordings"}
spec:
  allow:
    rules: [{resources: [audit, recordings, sessions], verbs: [list, read]}]
)",
    R"(
kind: role
version: v1
metadata: {name: reviewer, description: "Reviews access requests"}
spec:
  allow:
    review_roles: ["*"]
    rules: [{resources: [requests], verbs: [list, read, update]}]
)"};

}  // namespace

std::span<const Role> built_in_roles() {
  static const std::vector<Role>* const roles = [] {
    auto* all = new std::vector<Role>;
    for (const std::string_view document : kDocuments) {
      auto role = parse_role(document);
      if (!role) {  // a broken invariant, not input
        log::error("a built-in role does not parse", {{"error", role.error()}});
        std::abort();
      }
      all->push_back(*std::move(role));
    }
    return all;
  }();
  return *roles;
}

}  // namespace mezite::access
