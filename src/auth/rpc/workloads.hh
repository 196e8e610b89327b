// What the calls about workload identities do, of both services.
#pragma once

#include "auth/rpc/dispatch.hh"
#include "identity/workloads.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::auth::rpc {

void put_workload(const identity::Workload& workload, v1::WorkloadIdentity& out);

Status create_workload_identity(Services&, const Call&, const v1::CreateWorkloadIdentityRequest&,
                                v1::WorkloadIdentity&);
Status list_workload_identities(Services&, const Call&, const v1::ListWorkloadIdentitiesRequest&,
                                v1::ListWorkloadIdentitiesResponse&);
Status get_workload_identity(Services&, const Call&, const v1::NameRequest&, v1::WorkloadIdentity&);
Status delete_workload_identity(Services&, const Call&, const v1::NameRequest&, v1::Empty&);
Status issue_x509_svid_rpc(Services&, const Call&, const v1::IssueX509SvidRequest&, v1::IssueX509SvidResponse&);
Status issue_jwt_svid_rpc(Services&, const Call&, const v1::IssueJwtSvidRequest&, v1::IssueJwtSvidResponse&);

// By agents.
Status issue_workload_x509(Services&, const Call&, const v1::IssueX509SvidRequest&, v1::IssueX509SvidResponse&);
Status issue_workload_jwt(Services&, const Call&, const v1::IssueJwtSvidRequest&, v1::IssueJwtSvidResponse&);

}  // namespace mezite::auth::rpc
