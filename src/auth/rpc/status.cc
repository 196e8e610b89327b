#include "auth/rpc/status.hh"

#include <grpcpp/support/status.h>

#include <string>

#include "base/text.hh"
#include "net/address.hh"

namespace mezite::auth::rpc {
namespace {

grpc::StatusCode code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kAlreadyExists: return grpc::StatusCode::ALREADY_EXISTS;
    case ErrorCode::kPermissionDenied: return grpc::StatusCode::PERMISSION_DENIED;
    case ErrorCode::kUnauthenticated: return grpc::StatusCode::UNAUTHENTICATED;
    case ErrorCode::kFailedPrecondition: return grpc::StatusCode::FAILED_PRECONDITION;
    case ErrorCode::kResourceExhausted: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kUnavailable: return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kTimeout: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case ErrorCode::kIo: return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kCorrupt: return grpc::StatusCode::DATA_LOSS;
    case ErrorCode::kProtocol: return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kInternal: return grpc::StatusCode::INTERNAL;
  }
  return grpc::StatusCode::INTERNAL;
}

}  // namespace

grpc::Status to_grpc(const Error& error) { return {code_of(error.code), printable(error.message)}; }

std::string peer_ip(std::string_view grpc_peer) {
  std::string text;
  if (grpc_peer.starts_with("ipv4:") || grpc_peer.starts_with("ipv6:")) {
    std::string_view rest = grpc_peer.substr(5);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest.substr(i).starts_with("%5B")) {
        text += '[';
        i += 2;
      } else if (rest.substr(i).starts_with("%5D")) {
        text += ']';
        i += 2;
      } else {
        text += rest[i];
      }
    }
  }
  Result<net::HostPort> parsed = net::parse_host_port(text);
  if (!parsed) return {};
  std::string ip = parsed->host;
  // An IPv4 peer of a listener on both families.
  if (ip.starts_with("::ffff:") && ip.find('.') != std::string::npos) ip = ip.substr(7);
  return net::is_ip_address(ip) ? ip : std::string();
}

}  // namespace mezite::auth::rpc
