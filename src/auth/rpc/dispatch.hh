// What every call passes: who calls, may they, run the work on the worker pool, turn its error into a gRPC status.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace grpc {
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc

namespace mezite::auth::rpc {

// Who may make a call. There is no default: a method without a policy does not compile.
struct Policy {
  enum class Who {
    kAnyone,    // before there is an identity: Login
    kNewAgent,  // the same, for joining: not in clear
    kSealed,    // the call carries its own proof, which the work looks at (sealed.hh)
    kUser,      // a signed-in user or the local socket; the work itself decides further
    kRoleRule,  // as kUser, and a rule of the user's roles covers resource and verb
    kAgent,     // a node, by its client certificate
  };
  Who who;
  std::string_view resource{}, verb{};

  static Policy anyone() { return {Who::kAnyone}; }
  static Policy new_agent() { return {Who::kNewAgent}; }
  static Policy sealed() { return {Who::kSealed}; }
  static Policy user() { return {Who::kUser}; }
  static Policy rule(std::string_view resource, std::string_view verb) { return {Who::kRoleRule, resource, verb}; }
  static Policy agent() { return {Who::kAgent}; }
};

// The peers of the local socket by descriptor, as gRPC names them ("fd:12"). Thread-safe.
class LocalPeers {
 public:
  struct Peer {
    std::uint32_t uid = 0;
    std::int32_t pid = 0;
  };
  void put(int fd, Peer peer);
  std::optional<Peer> find(std::string_view grpc_peer) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, Peer> peers_;
};

// A call under way, as the work sees it.
class Call {
 public:
  Call(const Caller& who, const grpc::CallbackServerContext& context) : caller(who), context_(context) {}
  const Caller& caller;
  bool cancelled() const;  // nobody waits for the answer any more
  // The same call by somebody else; `other` outlives it.
  Call as(const Caller& other) const { return Call(other, context_); }

 private:
  const grpc::CallbackServerContext& context_;
};

// Thread-safe. One for the port (local: null) and one for the local socket, whose callers are administrators by
// their peer credentials and by nothing else.
class Dispatcher {
 public:
  explicit Dispatcher(Services& services, const LocalPeers* local = nullptr) : services_(services), local_(local) {}

  using Work = std::move_only_function<Status(const Call&)>;
  // Starts the call; method names it in the audit log. The work runs on a worker, once or never, and what it refers to
  // of the call (request, response) lives until it has returned.
  grpc::ServerUnaryReactor* run(grpc::CallbackServerContext* context, std::string_view method, const Policy& policy,
                                Work work);
  // Waits for the calls that workers still have: before that, nothing they use may go. New ones must have been stopped.
  void await_calls();

 private:
  struct Credentials;
  class Flight;  // one call that a worker has, or will get
  Result<Caller> identify(const Credentials& credentials, const Policy& policy) const;

  Services& services_;
  const LocalPeers* local_;
  std::mutex mutex_;
  std::condition_variable landed_;
  std::size_t in_flight_ = 0;
};

}  // namespace mezite::auth::rpc
