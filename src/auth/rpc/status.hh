// Error codes as gRPC has them, in one place for both directions of reading.
#pragma once

#include <string_view>

#include "base/result.hh"

namespace grpc {
class Status;
}

namespace mezite::auth::rpc {

grpc::Status to_grpc(const Error& error);

// "ipv4:192.0.2.1:50122", "ipv6:%5B2001:db8::1%5D:50122" → "192.0.2.1", "2001:db8::1"; "" for anything else.
std::string peer_ip(std::string_view grpc_peer);

}  // namespace mezite::auth::rpc
