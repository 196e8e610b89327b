// The two gRPC services over a dispatcher, which must outlive them.
#pragma once

#include <memory>

#include "auth/rpc/dispatch.hh"
#include "auth/use/hub_certificates.hh"

namespace grpc {
class Service;
}

namespace mezite::auth::rpc {

std::unique_ptr<grpc::Service> make_admin_service(Services& services, Dispatcher& dispatcher);
// certificates: what answers to sealed calls are signed with.
std::unique_ptr<grpc::Service> make_agent_service(Services& services, Dispatcher& dispatcher,
                                                  std::shared_ptr<HubCertificates> certificates);

}  // namespace mezite::auth::rpc
