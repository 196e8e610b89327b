// What each call of the admin API does, once the caller is known and allowed. Blocking; on a worker.
#pragma once

#include "auth/rpc/dispatch.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::auth::rpc {

Status login_user(Services&, const Call&, const v1::LoginRequest&, v1::LoginResponse&);

Status create_user(Services&, const Call&, const v1::CreateUserRequest&, v1::CreateUserResponse&);
Status list_users(Services&, const Call&, const v1::ListUsersRequest&, v1::ListUsersResponse&);
Status get_user(Services&, const Call&, const v1::NameRequest&, v1::User&);
Status update_user(Services&, const Call&, const v1::UpdateUserRequest&, v1::User&);
Status delete_user(Services&, const Call&, const v1::NameRequest&, v1::Empty&);
Status reset_password(Services&, const Call&, const v1::ResetPasswordRequest&, v1::ResetPasswordResponse&);

Status upsert_role(Services&, const Call&, const v1::UpsertRoleRequest&, v1::UpsertRoleResponse&);
Status list_roles(Services&, const Call&, const v1::ListRolesRequest&, v1::ListRolesResponse&);
Status get_role(Services&, const Call&, const v1::NameRequest&, v1::Role&);
Status delete_role(Services&, const Call&, const v1::NameRequest&, v1::Empty&);
Status explain(Services&, const Call&, const v1::ExplainAccessRequest&, v1::ExplainAccessResponse&);

Status create_token(Services&, const Call&, const v1::CreateTokenRequest&, v1::CreateTokenResponse&);
Status list_tokens(Services&, const Call&, const v1::ListTokensRequest&, v1::ListTokensResponse&);
Status delete_token(Services&, const Call&, const v1::NameRequest&, v1::Empty&);

Status list_nodes(Services&, const Call&, const v1::ListNodesRequest&, v1::ListNodesResponse&);
Status get_node(Services&, const Call&, const v1::NameRequest&, v1::Node&);
Status delete_node(Services&, const Call&, const v1::NameRequest&, v1::Empty&);

Status get_ca_status(Services&, const Call&, const v1::GetCaStatusRequest&, v1::GetCaStatusResponse&);
Status change_passphrase_rpc(Services&, const Call&, const v1::ChangePassphraseRequest&, v1::Empty&);
Status rotate_ca_rpc(Services&, const Call&, const v1::CaStepRequest&, v1::CaStatus&);
Status advance_ca_rpc(Services&, const Call&, const v1::CaStepRequest&, v1::CaStatus&);
Status roll_back_ca_rpc(Services&, const Call&, const v1::CaStepRequest&, v1::CaStatus&);
Status revoke_rpc(Services&, const Call&, const v1::RevokeCertificatesRequest&, v1::RevokeCertificatesResponse&);
Status list_revocations(Services&, const Call&, const v1::ListRevocationsRequest&, v1::ListRevocationsResponse&);
Status delete_revocation(Services&, const Call&, const v1::NameRequest&, v1::Empty&);
Status export_ca(Services&, const Call&, const v1::ExportCaRequest&, v1::ExportCaResponse&);

Status list_audit_events(Services&, const Call&, const v1::ListAuditEventsRequest&, v1::ListAuditEventsResponse&);
Status verify_audit(Services&, const Call&, const v1::VerifyAuditRequest&, v1::VerifyAuditResponse&);
Status export_audit_checkpoints(Services&, const Call&, const v1::ExportAuditCheckpointsRequest&,
                                v1::ExportAuditCheckpointsResponse&);
Status list_audit_sinks(Services&, const Call&, const v1::ListAuditSinksRequest&, v1::ListAuditSinksResponse&);

Status list_recordings_rpc(Services&, const Call&, const v1::ListRecordingsRequest&, v1::ListRecordingsResponse&);
Status get_recording_rpc(Services&, const Call&, const v1::NameRequest&, v1::Recording&);
Status read_recording_rpc(Services&, const Call&, const v1::ReadRecordingRequest&, v1::ReadRecordingResponse&);
Status search_recordings_rpc(Services&, const Call&, const v1::SearchRecordingsRequest&, v1::SearchRecordingsResponse&);
Status index_recordings_rpc(Services&, const Call&, const v1::IndexRecordingsRequest&, v1::IndexRecordingsResponse&);
Status reindex_recordings_rpc(Services&, const Call&, const v1::ReindexRecordingsRequest&,
                              v1::ReindexRecordingsResponse&);
Status delete_recording_rpc(Services&, const Call&, const v1::NameRequest&, v1::Empty&);

}  // namespace mezite::auth::rpc
