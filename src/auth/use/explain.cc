#include "auth/use/explain.hh"

namespace mezite::auth {

Result<access::Decision> explain_access(Services& services, std::string_view user, std::string_view node,
                                        std::string_view login) {
  MEZ_TRY(identity::User who, services.identity->users.get(user));
  MEZ_TRY(identity::Node where, services.identity->nodes.get(node));
  MEZ_TRY(auto roles, services.identity->roles.current());
  std::vector<access::Role> resolved = roles->set.resolve(who.roles).roles;
  return access::decide(resolved, who.name, who.traits, access::Node{where.name, where.labels}, login);
}

Result<std::vector<VisibleNode>> visible_nodes(Services& services, const Caller& caller) {
  MEZ_TRY(std::vector<identity::Node> nodes, services.identity->nodes.list());
  std::vector<VisibleNode> visible;
  for (identity::Node& node : nodes) {
    std::vector<std::string> logins =
        access::visible_logins(caller.roles, caller.traits, access::Node{node.name, node.labels});
    if (logins.empty()) continue;
    bool connected = services.is_connected(node.id);
    visible.push_back(VisibleNode{std::move(node), connected, std::move(logins)});
  }
  return visible;
}

}  // namespace mezite::auth
