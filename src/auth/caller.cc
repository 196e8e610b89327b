#include "auth/caller.hh"

#include <pwd.h>

#include "access/permission.hh"
#include "auth/record.hh"
#include "auth/services.hh"
#include "base/text.hh"

namespace mezite::auth {

Result<Caller> caller_of_session(Services& services, std::string_view session_token, std::string_view client_ip) {
  MEZ_TRY(identity::Caller who, services.identity->sessions.who(session_token));
  MEZ_TRY(auto roles, services.identity->roles.current());
  Caller caller;
  caller.kind = Caller::Kind::kUser;
  caller.name = std::move(who.user.name);
  caller.role_names = std::move(who.user.roles);
  caller.roles = roles->set.resolve(caller.role_names).roles;
  caller.traits = std::move(who.user.traits);
  caller.client_ip = std::string(client_ip);
  caller.session_id = std::move(who.session_id);
  caller.logged_in_at = who.logged_in_at;
  return caller;
}

Result<Caller> caller_of_certificate(Services& services, std::string_view leaf_pem, std::string_view client_ip) {
  MEZ_TRY(auto certificate, crypto::X509Certificate::from_pem(leaf_pem));
  Result<pki::AgentIdentity> agent = services.authority->verify_agent_x509(certificate);
  if (!agent) return fail(ErrorCode::kUnauthenticated, "{}", agent.error().message);
  Result<identity::Node> node = services.identity->nodes.get_by_id(agent->node_id);
  if (!node && node.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kUnauthenticated, "node {} was removed from the cluster; join again with a new token",
                printable(agent->node_id));
  }
  if (!node) return std::unexpected(node.error());
  Caller caller;
  caller.kind = Caller::Kind::kAgent;
  caller.name = node->id;
  caller.node_name = node->name;
  caller.client_ip = std::string(client_ip);
  return caller;
}

Caller caller_of_local_peer(std::uint32_t uid, std::int32_t pid) {
  Caller caller;
  caller.kind = Caller::Kind::kLocal;
  caller.uid = uid;
  caller.pid = pid;
  char buffer[4096];
  passwd entry{}, *found = nullptr;
  bool known = ::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
  // The colon keeps it apart from every user of the cluster (identity::check_user_name).
  caller.name = "local:" + (known ? std::string(entry.pw_name) : std::to_string(uid));
  return caller;
}

bool allowed(const Caller& caller, std::string_view resource, std::string_view verb) {
  if (caller.kind == Caller::Kind::kLocal) return true;
  return caller.kind == Caller::Kind::kUser && access::may(caller.roles, resource, verb);
}

Status require(Services& services, const Caller& caller, std::string_view resource, std::string_view verb) {
  if (allowed(caller, resource, verb)) return {};
  audit::Event event = event_by(services, caller, audit::EventKind::kAuthzDenied);
  event.resource_type = std::string(resource);
  event.error_message = fmt::format("no role allows {} on {}", verb, resource);
  event.details = audit::Details().add("verb", verb).text();
  MEZ_CHECK(record(services, event));
  return fail(ErrorCode::kPermissionDenied,
              "{} may not {} {}: none of your roles has a rule for it; ask an administrator (event {})", caller.name,
              verb, resource, event.id);
}

}  // namespace mezite::auth
