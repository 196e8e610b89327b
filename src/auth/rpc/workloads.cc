// Workload identities, for administrators and for agents.
#include "auth/rpc/workloads.hh"

#include "auth/use/workload.hh"

namespace mezite::auth::rpc {
namespace {

std::vector<std::string> list_of(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

void put(const IssuedX509& issued, v1::IssueX509SvidResponse& out) {
  out.set_spiffe_id(issued.spiffe_id);
  out.set_certificate_pem(issued.certificate_pem);
  out.set_bundle_pem(issued.bundle_pem);
  out.set_expires_at_ms(to_unix_millis(issued.expires_at));
}

void put(const IssuedJwt& issued, v1::IssueJwtSvidResponse& out) {
  out.set_spiffe_id(issued.spiffe_id);
  out.set_token(issued.token);
  out.set_expires_at_ms(to_unix_millis(issued.expires_at));
}

Result<std::chrono::seconds> ttl_of(std::int64_t seconds, std::chrono::seconds otherwise) {
  if (seconds == 0) return otherwise;
  if (seconds < 0 || seconds > 86400 * 365) return fail(ErrorCode::kInvalidArgument, "{} seconds is no TTL", seconds);
  return std::chrono::seconds(seconds);
}

}  // namespace

void put_workload(const identity::Workload& workload, v1::WorkloadIdentity& out) {
  out.set_id(workload.id);
  out.set_spiffe_id(workload.spiffe_id);
  for (const std::string& one : workload.selectors) out.add_selectors(one);
  out.set_x509_ttl_seconds(workload.x509_ttl.count());
  out.set_jwt_ttl_seconds(workload.jwt_ttl.count());
  for (const std::string& one : workload.dns_names) out.add_dns_names(one);
  for (const std::string& one : workload.jwt_audiences) out.add_jwt_audiences(one);
  out.set_hint(workload.hint);
  out.set_created_by(workload.created_by);
  out.set_created_at_ms(to_unix_millis(workload.created_at));
}

Status create_workload_identity(Services& services, const Call& call, const v1::CreateWorkloadIdentityRequest& request,
                                v1::WorkloadIdentity& response) {
  identity::NewWorkload workload;
  workload.spiffe_id = request.spiffe_id();
  workload.selectors = list_of(request.selectors());
  MEZ_TRY(workload.x509_ttl, ttl_of(request.x509_ttl_seconds(), workload.x509_ttl));
  MEZ_TRY(workload.jwt_ttl, ttl_of(request.jwt_ttl_seconds(), workload.jwt_ttl));
  workload.dns_names = list_of(request.dns_names());
  workload.jwt_audiences = list_of(request.jwt_audiences());
  workload.hint = request.hint();
  MEZ_TRY(identity::Workload made, register_workload(services, call.caller, std::move(workload)));
  put_workload(made, response);
  return {};
}

Status list_workload_identities(Services& services, const Call&, const v1::ListWorkloadIdentitiesRequest&,
                                v1::ListWorkloadIdentitiesResponse& response) {
  MEZ_TRY(std::vector<identity::Workload> all, services.identity->workloads.list());
  for (const identity::Workload& one : all) put_workload(one, *response.add_identities());
  return {};
}

Status get_workload_identity(Services& services, const Call&, const v1::NameRequest& request,
                             v1::WorkloadIdentity& response) {
  MEZ_TRY(identity::Workload found, services.identity->workloads.get(request.name()));
  put_workload(found, response);
  return {};
}

Status delete_workload_identity(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  return remove_workload(services, call.caller, request.name());
}

Status issue_x509_svid_rpc(Services& services, const Call& call, const v1::IssueX509SvidRequest& request,
                           v1::IssueX509SvidResponse& response) {
  MEZ_TRY(IssuedX509 issued,
          issue_x509_svid(services, call.caller, request.name(), as_bytes(request.public_key_der())));
  put(issued, response);
  return {};
}

Status issue_jwt_svid_rpc(Services& services, const Call& call, const v1::IssueJwtSvidRequest& request,
                          v1::IssueJwtSvidResponse& response) {
  MEZ_TRY(IssuedJwt issued, issue_jwt_svid(services, call.caller, request.name(), list_of(request.audiences())));
  put(issued, response);
  return {};
}

Status issue_workload_x509(Services& services, const Call& call, const v1::IssueX509SvidRequest& request,
                           v1::IssueX509SvidResponse& response) {
  MEZ_TRY(IssuedX509 issued,
          issue_agent_x509_svid(services, call.caller, request.name(), as_bytes(request.public_key_der())));
  put(issued, response);
  return {};
}

Status issue_workload_jwt(Services& services, const Call& call, const v1::IssueJwtSvidRequest& request,
                          v1::IssueJwtSvidResponse& response) {
  MEZ_TRY(IssuedJwt issued, issue_agent_jwt_svid(services, call.caller, request.name(), list_of(request.audiences())));
  put(issued, response);
  return {};
}

}  // namespace mezite::auth::rpc
