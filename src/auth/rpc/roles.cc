#include "auth/record.hh"
#include "auth/rpc/handlers.hh"
#include "auth/use/explain.hh"

namespace mezite::auth::rpc {
namespace {

void put(const identity::StoredRole& role, v1::Role& out) {
  out.set_name(role.name);
  out.set_description(role.description);
  out.set_built_in(role.built_in);
  out.set_document_json(role.document_json);
}

Status note(Services& services, const Call& call, audit::EventKind kind, const std::string& role) {
  audit::Event event = event_by(services, call.caller, kind);
  event.resource_type = "role";
  event.resource_name = role;
  return record(services, event);
}

}  // namespace

Status upsert_role(Services& services, const Call& call, const v1::UpsertRoleRequest& request,
                   v1::UpsertRoleResponse& response) {
  MEZ_TRY(access::Role parsed, access::parse_role(request.document()));
  // The right to create does not reach roles that are there.
  if (services.identity->roles.get(parsed.name)) MEZ_CHECK(require(services, call.caller, "roles", "update"));
  MEZ_TRY(identity::UpsertedRole stored, services.identity->roles.upsert(request.document()));
  services.announce_revision();
  auto kind = stored.created ? audit::EventKind::kRoleCreated : audit::EventKind::kRoleUpdated;
  MEZ_CHECK(note(services, call, kind, stored.role.name));
  put(stored.role, *response.mutable_role());
  response.set_created(stored.created);
  return {};
}

Status list_roles(Services& services, const Call&, const v1::ListRolesRequest&, v1::ListRolesResponse& response) {
  MEZ_TRY(std::vector<identity::StoredRole> roles, services.identity->roles.list());
  for (const identity::StoredRole& role : roles) put(role, *response.add_roles());
  return {};
}

Status get_role(Services& services, const Call&, const v1::NameRequest& request, v1::Role& response) {
  MEZ_TRY(identity::StoredRole role, services.identity->roles.get(request.name()));
  put(role, response);
  return {};
}

Status delete_role(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  MEZ_CHECK(services.identity->roles.remove(request.name()));
  services.announce_revision();
  return note(services, call, audit::EventKind::kRoleDeleted, request.name());
}

Status explain(Services& services, const Call&, const v1::ExplainAccessRequest& request,
               v1::ExplainAccessResponse& response) {
  MEZ_TRY(access::Decision decision, explain_access(services, request.user(), request.node(), request.login()));
  response.set_allowed(decision.allowed);
  response.set_summary(decision.summary);
  for (const std::string& step : decision.steps) response.add_steps(step);
  for (const std::string& login : decision.allowed_logins) response.add_allowed_logins(login);
  return {};
}

}  // namespace mezite::auth::rpc
