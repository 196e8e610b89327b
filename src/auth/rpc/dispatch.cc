#include "auth/rpc/dispatch.hh"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <charconv>
#include <memory>
#include <utility>

#include "auth/record.hh"
#include "auth/rpc/status.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::auth::rpc {
namespace {

constexpr std::size_t kMaxTokenBytes = 1024;
constexpr std::string_view kBalancer =
    "this call came in clear, as through a load balancer that ends TLS (auth.grpc_allow_http, auth.h2c), where agents "
    "sign each call: set MEZITE_TLS_WRAP=true on the agent";

// Finishes its call exactly once, also when the worker pool drops the task that owns it.
class Ending {
 public:
  explicit Ending(grpc::ServerUnaryReactor* reactor) : reactor_(reactor) {}
  Ending(Ending&& other) noexcept : reactor_(std::exchange(other.reactor_, nullptr)) {}
  Ending& operator=(Ending&&) = delete;
  ~Ending() { end(fail(ErrorCode::kUnavailable, "the hub is busy or stopping; try again in a moment").error()); }

  void succeed() {
    if (auto* reactor = std::exchange(reactor_, nullptr)) reactor->Finish(grpc::Status::OK);
  }
  void end(const Error& error) {
    if (auto* reactor = std::exchange(reactor_, nullptr)) reactor->Finish(to_grpc(error));
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
};

std::string_view view(grpc::string_ref text) { return {text.data(), text.size()}; }

}  // namespace

struct Dispatcher::Credentials {
  std::string bearer;      // of the authorization metadata
  std::string client_pem;  // the verified client certificate
  std::string peer;        // as gRPC names it
  // The call came in clear: a load balancer ended TLS, so there is no client certificate, and what joins in plain
  // messages could not tell the hub from it.
  bool in_clear = true;
  bool malformed = false;

  static Credentials of(const grpc::CallbackServerContext& context) {
    Credentials found;
    found.peer = context.peer();
    const auto& metadata = context.client_metadata();
    auto [first, last] = metadata.equal_range("authorization");
    for (auto it = first; it != last; ++it) {
      std::string_view value = view(it->second);
      // Two of them, or another scheme, is somebody hoping that two readers pick differently.
      if (!found.bearer.empty() || !value.starts_with("Bearer ") || value.size() > kMaxTokenBytes) {
        found.malformed = true;
        break;
      }
      found.bearer = value.substr(7);
    }
    const auto auth = context.auth_context();
    if (auth) {
      for (grpc::string_ref kind : auth->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME)) {
        found.in_clear = view(kind) != GRPC_SSL_TRANSPORT_SECURITY_TYPE;
      }
    }
    if (auth && !found.in_clear && auth->IsPeerAuthenticated()) {
      for (grpc::string_ref pem : auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME)) {
        found.client_pem = std::string(view(pem));
      }
    }
    return found;
  }
};

void LocalPeers::put(int fd, Peer peer) {
  std::lock_guard lock(mutex_);
  peers_[fd] = peer;  // a descriptor that is used again replaces the peer it had
}

std::optional<LocalPeers::Peer> LocalPeers::find(std::string_view grpc_peer) const {
  if (!grpc_peer.starts_with("fd:")) return std::nullopt;
  grpc_peer.remove_prefix(3);
  int fd = -1;
  auto [end, problem] = std::from_chars(grpc_peer.data(), grpc_peer.data() + grpc_peer.size(), fd);
  if (problem != std::errc{} || end != grpc_peer.data() + grpc_peer.size()) return std::nullopt;
  std::lock_guard lock(mutex_);
  auto it = peers_.find(fd);
  if (it == peers_.end()) return std::nullopt;
  return it->second;
}

bool Call::cancelled() const { return context_.IsCancelled(); }

Result<Caller> Dispatcher::identify(const Credentials& credentials, const Policy& policy) const {
  std::string ip = peer_ip(credentials.peer);
  if (local_ != nullptr) {
    std::optional<LocalPeers::Peer> peer = local_->find(credentials.peer);
    if (!peer) return fail(ErrorCode::kUnauthenticated, "the local socket's peer is not known; connect again");
    if (policy.who == Policy::Who::kAgent) return fail(ErrorCode::kPermissionDenied, "this call is for agents");
    return caller_of_local_peer(peer->uid, peer->pid);
  }
  if (policy.who == Policy::Who::kNewAgent && credentials.in_clear) {
    return fail(ErrorCode::kFailedPrecondition, "{}", kBalancer);
  }
  if (policy.who == Policy::Who::kAnyone || policy.who == Policy::Who::kNewAgent ||
      policy.who == Policy::Who::kSealed) {
    Caller caller;
    caller.client_ip = ip;
    return caller;
  }
  if (credentials.malformed) {
    return fail(ErrorCode::kUnauthenticated, "the authorization metadata must be one \"Bearer TOKEN\"");
  }
  if (policy.who == Policy::Who::kAgent) {
    if (credentials.in_clear) return fail(ErrorCode::kUnauthenticated, "{}", kBalancer);
    if (credentials.client_pem.empty()) {
      return fail(ErrorCode::kUnauthenticated,
                  "this call needs an agent's client certificate; join the node with a token first");
    }
    return caller_of_certificate(services_, credentials.client_pem, ip);
  }
  if (credentials.bearer.empty()) {
    return fail(ErrorCode::kUnauthenticated,
                "not logged in; run `mezctl login` and pass its token with --token or MEZITE_AUTH_TOKEN");
  }
  return caller_of_session(services_, credentials.bearer, ip);
}

class Dispatcher::Flight {
 public:
  explicit Flight(Dispatcher& dispatcher) : dispatcher_(&dispatcher) {
    const std::lock_guard lock(dispatcher.mutex_);
    ++dispatcher.in_flight_;
  }
  Flight(Flight&& other) noexcept : dispatcher_(std::exchange(other.dispatcher_, nullptr)) {}
  Flight& operator=(Flight&&) = delete;
  ~Flight() {
    if (!dispatcher_) return;
    const std::lock_guard lock(dispatcher_->mutex_);  // held while notifying: the dispatcher may go right after
    if (--dispatcher_->in_flight_ == 0) dispatcher_->landed_.notify_all();
  }

 private:
  Dispatcher* dispatcher_;
};

void Dispatcher::await_calls() {
  std::unique_lock lock(mutex_);
  landed_.wait(lock, [this] { return in_flight_ == 0; });
}

grpc::ServerUnaryReactor* Dispatcher::run(grpc::CallbackServerContext* context, std::string_view method,
                                          const Policy& policy, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // The context may not be touched once the call has been finished, which a worker may do at any time after submit().
  auto deadline = context->deadline();
  auto task = [this, flight = Flight(*this), ending = Ending(reactor), context, credentials = Credentials::of(*context),
               method, policy, deadline, work = std::move(work)]() mutable {
    if (std::chrono::system_clock::now() >= deadline || context->IsCancelled()) {
      return ending.end(fail(ErrorCode::kTimeout, "the hub is busy: the call's deadline passed before it ran").error());
    }
    net::Admission::Pass stranger;
    bool unknown = policy.who == Policy::Who::kAnyone || policy.who == Policy::Who::kNewAgent;
    if (unknown && local_ == nullptr) {
      Result<net::Admission::Pass> pass = services_.anonymous_calls.admit({peer_ip(credentials.peer), 0});
      if (!pass) return ending.end(pass.error());
      stranger = std::move(*pass);
    }
    Result<Caller> caller = identify(credentials, policy);
    wipe(credentials.bearer);
    if (!caller) return ending.end(caller.error());
    if (caller->kind == Caller::Kind::kLocal) {
      if (Status noted = note_admin_call(services_, *caller, method); !noted) return ending.end(noted.error());
    }
    if (policy.who == Policy::Who::kRoleRule) {
      if (Status may = require(services_, *caller, policy.resource, policy.verb); !may) return ending.end(may.error());
    }
    Status done = [&]() -> Status {
      // Libraries below may throw std::bad_alloc and its like; a call that fails must not end the process.
      try {
        return work(Call(*caller, *context));
      } catch (const std::exception& e) {
        log::error("a call ended with an exception", {{"method", method}, {"error", e.what()}});
        return fail(ErrorCode::kInternal, "the hub failed inside; see its log");
      }
    }();
    if (!done) {
      log::debug("call refused", {{"method", method}, {"caller", caller->name}, {"error", done.error()}});
      return ending.end(done.error());
    }
    ending.succeed();
  };
  // A task that the pool refuses is destroyed here, and its Ending answers.
  [[maybe_unused]] bool taken = services_.workers.submit(std::move(task));
  return reactor;
}

}  // namespace mezite::auth::rpc
