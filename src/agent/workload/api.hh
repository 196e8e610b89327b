// The server of the SPIFFE Workload API on a Unix socket.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/session/events.hh"
#include "agent/workload/state.hh"
#include "net/shard.hh"

namespace mezite::agent {

struct WorkloadApiOptions {
  std::string socket;  // absolute path; its folder is made when it is missing
  const Clock* clock = nullptr;
  SvidIssuer* issuer = nullptr;
  EventSink* events = nullptr;  // workload.denied
  const NodeFactsStore* node = nullptr;
  // Called on the shard: every open call has what it was to be given after the last change of keys.
  std::function<void()> settled;
};

// All of the options outlive it. Calls on the shard's thread, but for the destructor (after the shard has stopped).
class WorkloadApi {
 public:
  // Listens. Errors name the socket and the next step.
  static Result<std::unique_ptr<WorkloadApi>> start(net::Shard& shard, net::ShardPool& shards,
                                                    WorkloadApiOptions options);
  ~WorkloadApi();

  // What the hub told last; an older state than the one before is passed over. Open calls are told of what it changes.
  void update(WorkloadState state);
  // Whether no open call waits for an X509-SVID of the CA key that signs now.
  bool is_settled() const;

  // No more connections and calls; those that are open end. Waits for them: once the issuer's calls end by themselves.
  void stop();

 private:
  class Body;
  explicit WorkloadApi(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

}  // namespace mezite::agent
