#include "auth/record.hh"

#include "base/log.hh"

namespace mezite::auth {

audit::Event event_by(const Services& services, const Caller& caller, audit::EventKind kind) {
  audit::Event event = audit::make_event(kind, services.clock);
  event.client_ip = caller.client_ip;
  if (caller.kind == Caller::Kind::kAgent) {
    event.server_id = caller.name;
    event.server_hostname = caller.node_name;
  } else {
    event.user_name = caller.name;
    event.user_roles = caller.role_names;
  }
  return event;
}

Status record(Services& services, const audit::Event& event) {
  Status stored = services.audit->append(event);
  if (stored) return {};
  log::error("an audit event could not be written", {{"event_type", event.event_type}, {"error", stored.error()}});
  return fail(ErrorCode::kUnavailable, "the hub could not write its audit log: {}", stored.error().message);
}

Status note_admin_call(Services& services, const Caller& caller, std::string_view method) {
  audit::Event event = event_by(services, caller, audit::EventKind::kAdminCall);
  event.resource_type = "api";
  event.resource_name = std::string(method);
  event.details = audit::Details().add("uid", std::int64_t{caller.uid}).add("pid", std::int64_t{caller.pid}).text();
  return record(services, event);
}

}  // namespace mezite::auth
