// The two gRPC services over a dispatcher, which must outlive them.
#pragma once

#include <memory>

#include "auth/rpc/dispatch.hh"

namespace grpc {
class Service;
}

namespace mezite::auth::rpc {

std::unique_ptr<grpc::Service> make_admin_service(Services& services, Dispatcher& dispatcher);
std::unique_ptr<grpc::Service> make_agent_service(Services& services, Dispatcher& dispatcher);

}  // namespace mezite::auth::rpc
