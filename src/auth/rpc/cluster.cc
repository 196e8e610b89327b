// Certificate authorities and the audit log.
#include "auth/record.hh"
#include "auth/rpc/handlers.hh"

namespace mezite::auth::rpc {

Status get_ca_status(Services& services, const Call&, const v1::GetCaStatusRequest&,
                     v1::GetCaStatusResponse& response) {
  for (const pki::AuthorityStatus& ca : services.authority->status()) {
    v1::CaStatus* out = response.add_authorities();
    out->set_type(std::string(pki::to_text(ca.type)));
    out->set_rotation_phase(ca.rotation_phase);
    out->set_rotation_state(ca.rotation_state);
    out->set_active_fingerprint(ca.active_fingerprint);
    out->set_standby_fingerprint(ca.standby_fingerprint);
    out->set_expires_at_ms(to_unix_millis(ca.expires_at));
    out->set_pin(ca.pin);
  }
  for (const std::string& warning : services.authority->warnings()) response.add_warnings(warning);
  return {};
}

Status export_ca(Services& services, const Call& call, const v1::ExportCaRequest& request,
                 v1::ExportCaResponse& response) {
  MEZ_TRY(pki::AuthorityType type, pki::parse_authority_type(request.type()));
  MEZ_TRY(pki::ExportFormat format, pki::parse_export_format(request.format()));
  MEZ_TRY(std::string text, services.authority->export_public(type, format));
  audit::Event event = event_by(services, call.caller, audit::EventKind::kCaExported);
  event.resource_type = "ca";
  event.resource_name = request.type();
  event.details = audit::Details().add("format", request.format()).text();
  MEZ_CHECK(record(services, event));
  response.set_text(text);
  return {};
}

Status list_audit_events(Services& services, const Call&, const v1::ListAuditEventsRequest& request,
                         v1::ListAuditEventsResponse& response) {
  audit::Filter filter;
  filter.type = request.type();
  if (request.since_ms() != 0) filter.since = from_unix_millis(request.since_ms());
  if (request.until_ms() != 0) filter.until = from_unix_millis(request.until_ms());
  filter.user = request.user();
  filter.session_id = request.session_id();
  if (request.limit() < 0 || static_cast<std::size_t>(request.limit()) > audit::kMaxListLimit) {
    return fail(ErrorCode::kInvalidArgument, "the limit is 1 to {}", audit::kMaxListLimit);
  }
  if (request.limit() > 0) filter.limit = static_cast<std::size_t>(request.limit());
  if (request.after_sequence() > 0) filter.after_sequence = request.after_sequence();
  MEZ_TRY(std::vector<audit::StoredEvent> events, services.audit->list(filter));
  for (const audit::StoredEvent& event : events) {
    v1::AuditEvent* out = response.add_events();
    out->set_sequence(event.sequence);
    out->set_json(event.json);
  }
  return {};
}

Status verify_audit(Services& services, const Call& call, const v1::VerifyAuditRequest&,
                    v1::VerifyAuditResponse& response) {
  auto go_on = [&call](std::int64_t, std::int64_t) { return !call.cancelled(); };
  MEZ_TRY(audit::VerifyReport report, services.audit->verify(go_on));
  response.set_ok(report.ok);
  response.set_verified(report.verified);
  response.set_first_bad_sequence(report.first_bad_sequence);
  response.set_first_bad_id(report.first_bad_id);
  response.set_problem(report.problem);
  response.set_keyed(report.keyed);
  return {};
}

}  // namespace mezite::auth::rpc
