// Certificate authorities and the audit log.
#include "audit/sink/sinks.hh"
#include "auth/passphrase.hh"
#include "auth/record.hh"
#include "auth/rpc/handlers.hh"
#include "auth/use/ca_rotation.hh"
#include "auth/use/revocation.hh"

namespace mezite::auth::rpc {

namespace {

void put(const pki::KmsName& name, v1::KmsKey& out) {
  out.set_alias(name.alias);
  out.set_key_id(name.key_id);
}

void put(const CaView& view, v1::CaStatus& out) {
  const pki::AuthorityStatus& ca = view.ca;
  out.set_type(std::string(pki::to_text(ca.type)));
  out.set_rotation_phase(std::string(pki::to_text(ca.rotation.phase)));
  out.set_rotation_state(std::string(pki::to_text(ca.rotation.state)));
  out.set_active_fingerprint(ca.keys.active);
  out.set_standby_fingerprint(ca.keys.standby);
  out.set_expires_at_ms(to_unix_millis(ca.expires_at));
  out.set_pin(ca.pin);
  for (const std::string& name : view.lagging) out.add_lagging_nodes(name);
  for (const std::string& name : view.cut_off) out.add_cut_off_nodes(name);
  if (!ca.active_kms.alias.empty()) put(ca.active_kms, *out.mutable_active_kms());
  if (!ca.standby_kms.alias.empty()) put(ca.standby_kms, *out.mutable_standby_kms());
  for (const pki::RetiredKey& key : view.retired) {
    v1::RetiredKmsKey* retired = out.add_retired_kms();
    put(key.kms, *retired->mutable_key());
    retired->set_retired_at_ms(to_unix_millis(key.retired_at));
    retired->set_deleted_at_ms(key.deleted_at ? to_unix_millis(*key.deleted_at) : 0);
    retired->set_problem(key.problem);
  }
}

Status put_one(Services& services, pki::AuthorityType type, v1::CaStatus& out) {
  MEZ_TRY(std::vector<CaView> views, view_cas(services));
  put(views.at(static_cast<std::size_t>(type)), out);
  return {};
}

}  // namespace

Status get_ca_status(Services& services, const Call&, const v1::GetCaStatusRequest&,
                     v1::GetCaStatusResponse& response) {
  MEZ_TRY(std::vector<CaView> views, view_cas(services));
  for (const CaView& view : views) put(view, *response.add_authorities());
  for (const std::string& warning : services.authority->warnings()) response.add_warnings(warning);
  return {};
}

Status change_passphrase_rpc(Services& services, const Call& call, const v1::ChangePassphraseRequest& request,
                             v1::Empty&) {
  return change_passphrase(services, call.caller, Secret(std::string_view(request.old_passphrase())),
                           Secret(std::string_view(request.new_passphrase())));
}

Status rotate_ca_rpc(Services& services, const Call& call, const v1::CaStepRequest& request, v1::CaStatus& response) {
  MEZ_TRY(pki::AuthorityType type, pki::parse_authority_type(request.type()));
  MEZ_CHECK(rotate_ca(services, call.caller, type));
  return put_one(services, type, response);
}

Status advance_ca_rpc(Services& services, const Call& call, const v1::CaStepRequest& request, v1::CaStatus& response) {
  MEZ_TRY(pki::AuthorityType type, pki::parse_authority_type(request.type()));
  MEZ_CHECK(advance_ca(services, call.caller, type, request.force() ? Force::kYes : Force::kNo));
  return put_one(services, type, response);
}

Status roll_back_ca_rpc(Services& services, const Call& call, const v1::CaStepRequest& request,
                        v1::CaStatus& response) {
  MEZ_TRY(pki::AuthorityType type, pki::parse_authority_type(request.type()));
  MEZ_CHECK(roll_back_ca(services, call.caller, type));
  return put_one(services, type, response);
}

Status export_ca(Services& services, const Call& call, const v1::ExportCaRequest& request,
                 v1::ExportCaResponse& response) {
  if (request.format() == "krl") {
    if (request.type() != "user") {
      return fail(ErrorCode::kInvalidArgument, "there is a revocation list of the user CA only: take --type=user");
    }
    MEZ_TRY(Bytes krl, export_krl(services));
    response.set_data(to_text(krl));
    return {};
  }
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

namespace {

void put(const pki::Revocation& revocation, v1::Revocation& out) {
  out.set_id(revocation.id);
  out.set_kind(revocation.kind);
  out.set_value(revocation.value);
  out.set_user(revocation.user);
  out.set_reason(revocation.reason);
  out.set_created_by(revocation.created_by);
  out.set_created_at_ms(to_unix_millis(revocation.created_at));
  out.set_expires_at_ms(revocation.expires_at ? to_unix_millis(*revocation.expires_at) : 0);
}

}  // namespace

Status revoke_rpc(Services& services, const Call& call, const v1::RevokeCertificatesRequest& request,
                  v1::RevokeCertificatesResponse& response) {
  RevocationOrder order{
      .serial = request.serial(), .key_id = request.key_id(), .user = request.user(), .reason = request.reason()};
  MEZ_TRY(std::vector<pki::Revocation> added, revoke_certificates(services, call.caller, order));
  for (const pki::Revocation& one : added) put(one, *response.add_revocations());
  return {};
}

Status list_revocations(Services& services, const Call&, const v1::ListRevocationsRequest&,
                        v1::ListRevocationsResponse& response) {
  MEZ_TRY(std::vector<pki::Revocation> all, services.revocations->list());
  for (const pki::Revocation& one : all) put(one, *response.add_revocations());
  return {};
}

Status delete_revocation(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  return lift_revocation(services, call.caller, request.name());
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
  filter.text = request.text();
  if (request.before_sequence() > 0) {
    filter.before = audit::Filter::Position{request.before_ms(), request.before_sequence()};
  }
  MEZ_TRY(std::vector<audit::StoredEvent> events, services.audit->list(filter));
  for (const audit::StoredEvent& event : events) {
    v1::AuditEvent* out = response.add_events();
    out->set_sequence(event.sequence);
    out->set_json(event.json);
    out->set_timestamp_ms(event.timestamp_ms);
  }
  return {};
}

Status verify_audit(Services& services, const Call& call, const v1::VerifyAuditRequest& request,
                    v1::VerifyAuditResponse& response) {
  std::vector<std::string> checkpoints(request.checkpoints().begin(), request.checkpoints().end());
  auto go_on = [&call](std::int64_t, std::int64_t) { return !call.cancelled(); };
  MEZ_TRY(audit::VerifyReport report, services.audit->verify(go_on, checkpoints));
  response.set_ok(report.ok);
  response.set_verified(report.verified);
  response.set_first_bad_sequence(report.first_bad_sequence);
  response.set_first_bad_id(report.first_bad_id);
  response.set_problem(report.problem);
  response.set_keyed(report.keyed);
  response.set_damage(report.damage);
  response.set_checkpoints(static_cast<std::int64_t>(report.checkpoints));
  return {};
}

Status export_audit_checkpoints(Services& services, const Call&, const v1::ExportAuditCheckpointsRequest& request,
                                v1::ExportAuditCheckpointsResponse& response) {
  if (request.limit() < 0 || static_cast<std::size_t>(request.limit()) > audit::kMaxListLimit) {
    return fail(ErrorCode::kInvalidArgument, "the limit is 1 to {}", audit::kMaxListLimit);
  }
  std::size_t limit = request.limit() > 0 ? static_cast<std::size_t>(request.limit()) : audit::kMaxListLimit;
  MEZ_TRY(std::vector<std::string> lines, services.audit->export_checkpoints(limit));
  for (std::string& line : lines) response.add_lines(std::move(line));
  return {};
}

Status list_audit_sinks(Services& services, const Call&, const v1::ListAuditSinksRequest&,
                        v1::ListAuditSinksResponse& response) {
  for (const audit::SinkStatus& sink : services.audit_sinks->status()) {
    v1::AuditSink* out = response.add_sinks();
    out->set_name(sink.name);
    out->set_target(sink.target);
    out->set_delivered_sequence(sink.delivered_sequence);
    out->set_last_sequence(sink.last_sequence);
    out->set_lag_ms(sink.lag.count());
    out->set_failures(sink.failures);
    out->set_last_error(sink.last_error);
    out->set_delivered_at_ms(sink.delivered_at ? to_unix_millis(*sink.delivered_at) : 0);
  }
  return {};
}

}  // namespace mezite::auth::rpc
