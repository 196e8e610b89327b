#include "client/admin_api.hh"

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/clock.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"

namespace mezite::client {
namespace {

constexpr int kMaxMessageBytes = 256 << 20;

ErrorCode code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT: return ErrorCode::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND: return ErrorCode::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return ErrorCode::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED: return ErrorCode::kPermissionDenied;
    case grpc::StatusCode::UNAUTHENTICATED: return ErrorCode::kUnauthenticated;
    case grpc::StatusCode::FAILED_PRECONDITION: return ErrorCode::kFailedPrecondition;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return ErrorCode::kResourceExhausted;
    case grpc::StatusCode::UNAVAILABLE: return ErrorCode::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return ErrorCode::kTimeout;
    case grpc::StatusCode::DATA_LOSS: return ErrorCode::kCorrupt;
    default: return ErrorCode::kInternal;
  }
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // the pin was checked on a direct connection
  return arguments;
}

// gRPC would only say "unavailable": this finds out why.
Status try_socket(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.native();
  if (text.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::kInvalidArgument, "the socket's path {} is over {} bytes", text,
                sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "making a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return {};
  const int error = errno;
  if (error == EACCES || error == EPERM) {
    return fail(ErrorCode::kPermissionDenied,
                "{} may be used by root and the hub's user only; use sudo, or 'mezctl login' and its token", text);
  }
  return fail(ErrorCode::kUnavailable, "can't reach the hub through {}: {}; is mezhub running here?", text,
              std::strerror(error));
}

}  // namespace

struct AdminApi::State {
  std::shared_ptr<grpc::Channel> channel;
  Secret token;
  std::string where;  // for errors
};

AdminApi::AdminApi(std::unique_ptr<State> state) : state_(std::move(state)) {}
AdminApi::AdminApi(AdminApi&&) noexcept = default;
AdminApi& AdminApi::operator=(AdminApi&&) noexcept = default;
AdminApi::~AdminApi() = default;

Result<AdminApi> AdminApi::through_socket(const std::filesystem::path& socket) {
  MEZ_CHECK(try_socket(socket));
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // its own log lines are no sentences for users
  auto arguments = channel_arguments();
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  auto state = std::make_unique<State>();
  state->where = socket.native();
  state->channel = grpc::CreateCustomChannel("unix:" + std::filesystem::absolute(socket).native(),
                                             grpc::InsecureChannelCredentials(), arguments);
  return AdminApi(std::move(state));
}

Result<AdminApi> AdminApi::through_tls(const net::HostPort& hub, const HubIdentity& identity, Secret token) {
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  // gRPC aborts on metadata that HTTP/2 does not carry.
  const auto is_token_byte = [](unsigned char c) { return c > 0x20 && c < 0x7f; };
  if (token.size() > 1024 || !std::ranges::all_of(token.text(), is_token_byte)) {
    return fail(ErrorCode::kInvalidArgument, "the session token is not one; 'mezctl login' prints it");
  }
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.ca_pem;
  auto arguments = channel_arguments();
  arguments.SetSslTargetNameOverride(identity.server_name);
  auto state = std::make_unique<State>();
  state->where = hub.text();
  state->token = std::move(token);
  state->channel = grpc::CreateCustomChannel(hub.text(), grpc::SslCredentials(options), arguments);
  return AdminApi(std::move(state));
}

Status AdminApi::call(std::string_view method, const google::protobuf::Message& request,
                      google::protobuf::Message& response, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  if (!state_->token.empty()) {
    context.AddMetadata("authorization", fmt::format("Bearer {}", state_->token.text()));
  }
  const std::string path = fmt::format("/mezite.v1.AdminService/{}", method);
  const grpc::internal::RpcMethod rpc(path.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
  const std::string request_bytes = request.SerializeAsString();
  const grpc::Slice slice(request_bytes);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  const grpc::Status status = grpc::internal::BlockingUnaryCall(state_->channel.get(), rpc, &context, sent, &received);
  if (status.ok()) {
    grpc::Slice answer;
    if (received.DumpToSingleSlice(&answer).ok() &&
        response.ParseFromArray(answer.begin(), static_cast<int>(answer.size()))) {
      return {};
    }
    return fail(ErrorCode::kProtocol, "the hub at {} gave an answer to {} that is not understood; is it newer?",
                state_->where, method);
  }
  std::string message = printable(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return fail(ErrorCode::kUnavailable, "the hub at {} did not answer: {}; try again, or look at its log",
                  state_->where, message);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return fail(ErrorCode::kTimeout, "the hub at {} took longer than {}; try again, or look at its log",
                  state_->where, format_duration(timeout));
    case grpc::StatusCode::UNIMPLEMENTED:
      return fail(ErrorCode::kFailedPrecondition, "the hub at {} does not know {}; is it older than this mezctl?",
                  state_->where, method);
    case grpc::StatusCode::UNAUTHENTICATED:
      if (message.find("mezctl login") == message.npos && state_->token.size() > 0) {
        message += "; 'mezctl login' gives a new token";
      }
      break;
    default: break;
  }
  if (message.empty()) message = fmt::format("the hub refused the call (gRPC code {})", int{status.error_code()});
  return fail(code_of(status.error_code()), "{}", message);
}

}  // namespace mezite::client
