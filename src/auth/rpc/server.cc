#include "auth/rpc/server.hh"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_posix.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>

#include "auth/rpc/dispatch.hh"
#include "auth/rpc/mixed_port.hh"
#include "auth/rpc/services_of_grpc.hh"
#include "auth/rpc/tls_credentials.hh"
#include "auth/use/iam_join.hh"
#include "base/log.hh"
#include "net/listener.hh"

namespace mezite::auth::rpc {
namespace {

// 256 events of 64 KiB at most come in one call, a recording chunk is 1 MiB; nothing else comes near.
constexpr int kMaxRequestBytes = 17 << 20;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kMaxStreamsPerConnection = 64;
constexpr std::size_t kMemoryQuotaBytes = std::size_t{256} << 20;

void bound(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  // Two hubs on one port would each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20'000);
  // Peers that vanished are noticed within two minutes; clients may ping every 10 seconds.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.SetResourceQuota(grpc::ResourceQuota("mezhub").Resize(kMemoryQuotaBytes));
}

std::string grpc_address(const net::HostPort& address) {
  return address.host.empty() ? fmt::format("[::]:{}", address.port) : address.text();
}

// Each call of the local socket is of root or of the hub's own user, whom the kernel names.
Result<LocalPeers::Peer> check_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail_errno(errno, "asking who connected");
  if (!is_admin_uid(peer.uid, ::geteuid())) {
    return fail(ErrorCode::kPermissionDenied, "uid {} may not use the admin socket", peer.uid);
  }
  return LocalPeers::Peer{peer.uid, peer.pid};
}

// The server of the local socket, as long as it takes connections: an accept may be under way on a shard when it stops.
class Door {
 public:
  void open(grpc::Server* server) {
    std::lock_guard lock(mutex_);
    server_ = server;
  }
  void close() { open(nullptr); }
  void enter(LocalPeers& peers, LocalPeers::Peer peer, UniqueFd fd) {
    std::lock_guard lock(mutex_);
    if (server_ == nullptr) return;
    peers.put(fd.get(), peer);
    grpc::AddInsecureChannelFromFd(server_, fd.release());
  }

 private:
  std::mutex mutex_;
  grpc::Server* server_ = nullptr;
};

}  // namespace

bool is_admin_uid(std::uint32_t uid, std::uint32_t own_uid) { return uid == 0 || uid == own_uid; }

struct Server::State {
  explicit State(Services& services)
      : dispatcher(services),
        local_dispatcher(services, &local->peers),
        admin(make_admin_service(services, dispatcher)),
        certificates(std::make_shared<HubCertificates>(services)),
        agent(make_agent_service(services, dispatcher, certificates)),
        local_admin(make_admin_service(services, local_dispatcher)) {}
  ~State() {
    for (Dispatcher* each : {&dispatcher, &local_dispatcher}) each->await_calls();
  }

  // Shared with accepts that outlive the server on their shards.
  struct Local {
    LocalPeers peers;
    Door door;
  };
  std::shared_ptr<Local> local = std::make_shared<Local>();
  Dispatcher dispatcher, local_dispatcher;
  std::unique_ptr<grpc::Service> admin;
  std::shared_ptr<HubCertificates> certificates;
  std::unique_ptr<grpc::Service> agent, local_admin;
  std::shared_ptr<grpc::ServerCredentials> credentials;  // handshakes of `server` ask it for certificates
  std::unique_ptr<grpc::Server> server, local_server;
  std::unique_ptr<net::Listener> local_listener;
  std::unique_ptr<MixedPort> mixed_port;  // in place of a port of the server's own
  int port = 0;
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { stop(std::chrono::milliseconds(0)); }
std::uint16_t Server::port() const { return static_cast<std::uint16_t>(state_->port); }

Result<std::unique_ptr<Server>> Server::start(Services& services, net::Shard& shard, net::ShardPool& shards) {
  MEZ_CHECK(IamJoins::check_config(services.config));
  auto state = std::make_unique<State>(services);
  const net::HostPort& address = services.config.auth.listen_addr;
  if (services.config.auth.h2c) {
    state->credentials = grpc::InsecureServerCredentials();
    log::warn("auth.h2c: the gRPC port speaks cleartext HTTP/2; let nothing but the load balancer reach it",
              {{"address", address.text()}});
  } else {
    MEZ_TRY(state->credentials, make_tls_credentials(state->certificates));
  }
  // A port of gRPC's own would take one kind of connection only.
  const bool is_mixed = services.config.auth.grpc_allow_http && !services.config.auth.h2c;
  {
    grpc::ServerBuilder builder;
    bound(builder);
    if (is_mixed) {
      state->mixed_port = std::make_unique<MixedPort>(builder, state->credentials);
    } else {
      builder.AddListeningPort(grpc_address(address), state->credentials, &state->port);
    }
    builder.RegisterService(state->admin.get());
    builder.RegisterService(state->agent.get());
    state->server = builder.BuildAndStart();
  }
  if (is_mixed && state->server) {
    log::warn("auth.grpc_allow_http: the gRPC port takes cleartext HTTP/2, too; let only the load balancer send that",
              {{"address", address.text()}});
    if (Status open = state->mixed_port->listen(shard, shards, address)) state->port = state->mixed_port->port();
  }
  if (!state->server || state->port == 0) {
    return fail(ErrorCode::kUnavailable,
                "auth.listen_addr: cannot listen on {}; stop the program that uses the port, or set another address",
                address.text());
  }
  {
    grpc::ServerBuilder builder;
    bound(builder);
    builder.RegisterService(state->local_admin.get());
    state->local_server = builder.BuildAndStart();
  }
  if (!state->local_server) return fail(ErrorCode::kInternal, "the admin socket's server did not start");
  state->local->door.open(state->local_server.get());
  auto accepted = [local = state->local](net::Shard&, UniqueFd fd, net::Address) {
    Result<LocalPeers::Peer> peer = check_peer(fd.get());
    if (!peer) return log::warn("admin socket: connection refused", {{"error", peer.error()}});
    local->door.enter(local->peers, *peer, std::move(fd));
  };
  std::string path = services.config.admin_socket_path().string();
  if (path.size() > 107) {
    return fail(ErrorCode::kInvalidArgument,
                "data_dir: {} is longer than a Unix socket's path may be; use a shorter one", path);
  }
  Result<std::unique_ptr<net::Listener>> listener = net::Listener::open_unix(shard, shards, path, 0600, accepted);
  if (!listener) return wrap(listener.error(), "opening the admin socket " + path);
  state->local_listener = std::move(*listener);
  log::info("auth service listening",
            {{"address", net::HostPort{address.host, static_cast<std::uint16_t>(state->port)}.text()},
             {"admin_socket", path}});
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

void Server::stop(std::chrono::milliseconds grace) {
  state_->local_listener.reset();
  state_->mixed_port.reset();
  state_->local->door.close();
  auto deadline = std::chrono::system_clock::now() + grace;
  for (auto* server : {&state_->local_server, &state_->server}) {
    if (!*server) continue;
    (*server)->Shutdown(deadline);
    (*server)->Wait();
    server->reset();
  }
}

void prepare_process() {
  allow_only_tls13();
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function([](gpr_log_func_args* line) {
    // A failed handshake of a stranger is not the operator's error.
    log::debug("grpc", {{"message", line->message}, {"file", line->file}, {"line", line->line}});
  });
}

}  // namespace mezite::auth::rpc
