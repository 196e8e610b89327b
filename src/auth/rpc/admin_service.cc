// The table of the admin API: method, messages, who may, what it does.
#include "auth/rpc/handlers.hh"
#include "auth/rpc/services_of_grpc.hh"
#include "auth/rpc/workloads.hh"
#include "mezite/v1/admin.grpc.pb.h"

namespace mezite::auth::rpc {
namespace {

class AdminService final : public v1::AdminService::CallbackService {
 public:
  AdminService(Services& services, Dispatcher& dispatcher) : services_(services), dispatcher_(dispatcher) {}

#define MEZ_RPC(method, Request, Response, policy, handler)                                          \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const v1::Request* request, \
                                   v1::Response* response) override {                                \
    return dispatcher_.run(context, #method, policy, [this, request, response](const Call& call) {   \
      return handler(services_, call, *request, *response);                                          \
    });                                                                                              \
  }

  MEZ_RPC(Login, LoginRequest, LoginResponse, Policy::anyone(), login_user)

  MEZ_RPC(CreateUser, CreateUserRequest, CreateUserResponse, Policy::rule("users", "create"), create_user)
  MEZ_RPC(ListUsers, ListUsersRequest, ListUsersResponse, Policy::rule("users", "list"), list_users)
  MEZ_RPC(GetUser, NameRequest, User, Policy::rule("users", "read"), get_user)
  MEZ_RPC(UpdateUser, UpdateUserRequest, User, Policy::rule("users", "update"), update_user)
  MEZ_RPC(DeleteUser, NameRequest, Empty, Policy::rule("users", "delete"), delete_user)
  MEZ_RPC(ResetPassword, ResetPasswordRequest, ResetPasswordResponse, Policy::rule("users", "update"), reset_password)

  MEZ_RPC(UpsertRole, UpsertRoleRequest, UpsertRoleResponse, Policy::rule("roles", "create"), upsert_role)
  MEZ_RPC(ListRoles, ListRolesRequest, ListRolesResponse, Policy::rule("roles", "list"), list_roles)
  MEZ_RPC(GetRole, NameRequest, Role, Policy::rule("roles", "read"), get_role)
  MEZ_RPC(DeleteRole, NameRequest, Empty, Policy::rule("roles", "delete"), delete_role)
  MEZ_RPC(ExplainAccess, ExplainAccessRequest, ExplainAccessResponse, Policy::rule("roles", "read"), explain)

  MEZ_RPC(CreateToken, CreateTokenRequest, CreateTokenResponse, Policy::rule("tokens", "create"), create_token)
  MEZ_RPC(ListTokens, ListTokensRequest, ListTokensResponse, Policy::rule("tokens", "list"), list_tokens)
  MEZ_RPC(DeleteToken, NameRequest, Empty, Policy::rule("tokens", "delete"), delete_token)

  MEZ_RPC(ListNodes, ListNodesRequest, ListNodesResponse, Policy::rule("nodes", "list"), list_nodes)
  MEZ_RPC(GetNode, NameRequest, Node, Policy::rule("nodes", "read"), get_node)
  MEZ_RPC(DeleteNode, NameRequest, Empty, Policy::rule("nodes", "delete"), delete_node)

  MEZ_RPC(GetCaStatus, GetCaStatusRequest, GetCaStatusResponse, Policy::rule("ca", "read"), get_ca_status)
  MEZ_RPC(ChangePassphrase, ChangePassphraseRequest, Empty, Policy::rule("ca", "update"), change_passphrase_rpc)
  MEZ_RPC(ExportCa, ExportCaRequest, ExportCaResponse, Policy::rule("ca", "read"), export_ca)
  MEZ_RPC(RevokeCertificates, RevokeCertificatesRequest, RevokeCertificatesResponse, Policy::rule("ca", "revoke"),
          revoke_rpc)
  MEZ_RPC(ListRevocations, ListRevocationsRequest, ListRevocationsResponse, Policy::rule("ca", "read"),
          list_revocations)
  MEZ_RPC(DeleteRevocation, NameRequest, Empty, Policy::rule("ca", "revoke"), delete_revocation)
  MEZ_RPC(RotateCa, CaStepRequest, CaStatus, Policy::rule("ca", "update"), rotate_ca_rpc)
  MEZ_RPC(AdvanceCa, CaStepRequest, CaStatus, Policy::rule("ca", "update"), advance_ca_rpc)
  MEZ_RPC(RollbackCa, CaStepRequest, CaStatus, Policy::rule("ca", "update"), roll_back_ca_rpc)

  MEZ_RPC(CreateWorkloadIdentity, CreateWorkloadIdentityRequest, WorkloadIdentity,
          Policy::rule("workload_identities", "create"), create_workload_identity)
  MEZ_RPC(ListWorkloadIdentities, ListWorkloadIdentitiesRequest, ListWorkloadIdentitiesResponse,
          Policy::rule("workload_identities", "list"), list_workload_identities)
  MEZ_RPC(GetWorkloadIdentity, NameRequest, WorkloadIdentity, Policy::rule("workload_identities", "read"),
          get_workload_identity)
  MEZ_RPC(DeleteWorkloadIdentity, NameRequest, Empty, Policy::rule("workload_identities", "delete"),
          delete_workload_identity)
  MEZ_RPC(IssueX509Svid, IssueX509SvidRequest, IssueX509SvidResponse, Policy::rule("workload_identities", "issue"),
          issue_x509_svid_rpc)
  MEZ_RPC(IssueJwtSvid, IssueJwtSvidRequest, IssueJwtSvidResponse, Policy::rule("workload_identities", "issue"),
          issue_jwt_svid_rpc)

  MEZ_RPC(ListAuditEvents, ListAuditEventsRequest, ListAuditEventsResponse, Policy::rule("audit", "list"),
          list_audit_events)
  MEZ_RPC(VerifyAudit, VerifyAuditRequest, VerifyAuditResponse, Policy::rule("audit", "read"), verify_audit)
  MEZ_RPC(ExportAuditCheckpoints, ExportAuditCheckpointsRequest, ExportAuditCheckpointsResponse,
          Policy::rule("audit", "read"), export_audit_checkpoints)
  MEZ_RPC(ListAuditSinks, ListAuditSinksRequest, ListAuditSinksResponse, Policy::rule("audit", "read"),
          list_audit_sinks)

  // A user sees the recordings of their own sessions without a rule; the handlers decide.
  MEZ_RPC(ListRecordings, ListRecordingsRequest, ListRecordingsResponse, Policy::user(), list_recordings_rpc)
  MEZ_RPC(GetRecording, NameRequest, Recording, Policy::user(), get_recording_rpc)
  MEZ_RPC(ReadRecording, ReadRecordingRequest, ReadRecordingResponse, Policy::user(), read_recording_rpc)
  MEZ_RPC(SearchRecordings, SearchRecordingsRequest, SearchRecordingsResponse, Policy::user(), search_recordings_rpc)
  MEZ_RPC(IndexRecordings, IndexRecordingsRequest, IndexRecordingsResponse, Policy::rule("recordings", "update"),
          index_recordings_rpc)
  MEZ_RPC(ReindexRecordings, ReindexRecordingsRequest, ReindexRecordingsResponse, Policy::rule("recordings", "update"),
          reindex_recordings_rpc)
  MEZ_RPC(DeleteRecording, NameRequest, Empty, Policy::rule("recordings", "delete"), delete_recording_rpc)

#undef MEZ_RPC

 private:
  Services& services_;
  Dispatcher& dispatcher_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_admin_service(Services& services, Dispatcher& dispatcher) {
  return std::make_unique<AdminService>(services, dispatcher);
}

}  // namespace mezite::auth::rpc
