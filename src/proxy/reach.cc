#include "proxy/reach.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "access/decide.hh"
#include "base/text.hh"

namespace mezite::proxy {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxRoles = 256;

bool same_name(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string last_seen(const identity::Node& node) {
  return node.last_heartbeat ? to_rfc3339(*node.last_heartbeat) : std::string();
}

}  // namespace

Result<Visitor> visitor_of_certificate(const ssh::Certificate& certificate) {
  Visitor visitor;
  visitor.user = certificate.key_id();
  auto malformed = [] { return fail(ErrorCode::kInvalidArgument, "the certificate's roles or traits are malformed"); };
  if (const Bytes* value = certificate.find_extension(pki::kRolesExtension)) {
    auto text = ssh::option_text(*value);
    if (!text) return malformed();
    Json roles = Json::parse(*text, nullptr, false);
    if (!roles.is_array() || roles.size() > kMaxRoles) return malformed();
    for (const Json& role : roles) {
      if (!role.is_string()) return malformed();
      visitor.role_names.push_back(role.get<std::string>());
    }
  }
  if (const Bytes* value = certificate.find_extension(pki::kTraitsExtension)) {
    auto text = ssh::option_text(*value);
    if (!text) return malformed();
    Json traits = Json::parse(*text, nullptr, false);
    if (!traits.is_object()) return malformed();
    for (const auto& [name, values] : traits.items()) {
      if (!values.is_array()) return malformed();
      for (const Json& one : values) {
        if (!one.is_string()) return malformed();
        visitor.traits[name].push_back(one.get<std::string>());
      }
    }
  }
  return visitor;
}

std::string_view plain_node_name(const auth::Services& services, std::string_view name) {
  const std::string& cluster = services.cluster_name();
  if (name.size() > cluster.size() + 1 && name[name.size() - cluster.size() - 1] == '.' &&
      same_name(name.substr(name.size() - cluster.size()), cluster)) {
    return name.substr(0, name.size() - cluster.size() - 1);
  }
  return name;
}

std::string no_such_node(std::string_view name) {
  return fmt::format("no node '{}' that you may reach: msh ls lists those that you may",
                     printable(name.substr(0, 128)));
}

Result<std::optional<std::string>> find_lock(auth::Services& services, const Visitor& visitor, std::string_view node_id,
                                             std::string_view node_name, std::string_view login) {
  MEZ_TRY(std::vector<identity::Lock> locks, services.identity->locks.active());
  for (const identity::Lock& lock : locks) {
    bool hit =
        (lock.kind == "user" && lock.name == visitor.user) ||
        (lock.kind == "role" && std::ranges::find(visitor.role_names, lock.name) != visitor.role_names.end()) ||
        (lock.kind == "node" && !node_name.empty() && (lock.name == node_id || same_name(lock.name, node_name))) ||
        (lock.kind == "login" && !login.empty() && lock.name == login);
    if (hit)
      return fmt::format("{} '{}' is locked{}{}", lock.kind, lock.name, lock.message.empty() ? "" : ": ", lock.message);
  }
  return std::nullopt;
}

Result<std::optional<Denial>> check_user(auth::Services& services, const Visitor& visitor) {
  Denial denial{.user = visitor.user, .roles = visitor.role_names};
  auto user = services.identity->users.get(visitor.user);
  if (!user && user.error().code == ErrorCode::kNotFound) {
    denial.reason = "user_deleted";
    denial.explanation = fmt::format("user '{}' was deleted", printable(visitor.user));
    return denial;
  }
  if (!user) return std::unexpected(user.error());
  MEZ_TRY(auto lock, find_lock(services, visitor, {}, {}, {}));
  if (!lock) return std::nullopt;
  denial.kind = audit::EventKind::kAccessDeniedLocked;
  denial.reason = "locked";
  denial.explanation = std::move(*lock);
  return denial;
}

Result<Reach> reach_node(auth::Services& services, const Visitor& visitor, std::string_view name,
                         const std::string& client_address) {
  name = plain_node_name(services, name);
  Denial denial{.kind = audit::EventKind::kAccessDeniedUnknownNode,
                .reason = "unknown_node",
                .explanation = fmt::format("there is no node '{}'", printable(name)),
                .user_text = no_such_node(name),
                .user = visitor.user,
                .roles = visitor.role_names,
                .node_name = std::string(name)};
  // Before anything is looked at, so that whatever it promises is in what is seen.
  MEZ_TRY(std::int64_t revision, services.identity->revision());
  MEZ_TRY(auto refused, check_user(services, visitor));
  if (refused) {
    refused->node_name = denial.node_name;
    return std::move(*refused);
  }
  auto node = services.identity->nodes.get(name);
  if (!node && node.error().code == ErrorCode::kNotFound) return denial;
  if (!node) return std::unexpected(node.error());
  denial.node_id = node->id;
  denial.node_name = node->name;
  MEZ_TRY(auto roles, services.identity->roles.current());
  auto resolved = roles->set.resolve(visitor.role_names).roles;
  if (!access::can_see(resolved, visitor.traits, access::Node{node->name, node->labels})) {
    denial.kind = audit::EventKind::kAccessDeniedLabels;
    denial.reason = "node_not_allowed";
    denial.explanation =
        fmt::format("no role of '{}' allows a login on node '{}'", printable(visitor.user), node->name);
    return denial;
  }
  MEZ_TRY(auto lock, find_lock(services, visitor, node->id, node->name, {}));
  if (lock) {
    denial.kind = audit::EventKind::kAccessDeniedLocked;
    denial.reason = "locked";
    denial.explanation = std::move(*lock);
    denial.user_text = "access denied";
    return denial;
  }
  return DialTarget{node->id, node->name, last_seen(*node), client_address, visitor.user, revision};
}

Result<DialTarget> target_of_ticket(auth::Services& services, const DialTicket& ticket,
                                    const std::string& client_address) {
  MEZ_TRY(std::int64_t revision, services.identity->revision());
  MEZ_TRY(identity::Node node, services.identity->nodes.get_by_id(ticket.node_id));
  return DialTarget{node.id, node.name, last_seen(node), client_address, ticket.user, revision};
}

}  // namespace mezite::proxy
