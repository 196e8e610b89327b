// What each call of the Workload API answers to a process, as messages. Knows gRPC's messages, not its calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/workload/peer.hh"
#include "agent/workload/stream.hh"
#include "agent/workload/svids.hh"
#include "spiffe/workloadapi.pb.h"

namespace mezite::agent {

// Thread-safe; calls block (the hub, names of users). Errors: kPermissionDenied for a process that nothing is
// registered for, kUnavailable while the hub can't be asked, kInvalidArgument for a request that is none.
class Answers {
 public:
  // Called with a process that was refused.
  using Denied = std::function<void(const Peer& peer, const spiffe::Process* process, const Error& why)>;
  Answers(SvidIssuer& issuer, const Clock& clock, Denied denied)
      : svids_(issuer, clock), clock_(clock), denied_(std::move(denied)) {}

  // Passed over when it is older than what there is. Says whether it was taken.
  bool put(WorkloadState state);

  Result<X509SVIDResponse> x509_svids(const Peer& peer, Freshness& freshness);
  Result<X509BundlesResponse> x509_bundles(const Peer& peer);
  Result<JWTSVIDResponse> jwt_svids(const Peer& peer, const JWTSVIDRequest& request);
  Result<JWTBundlesResponse> jwt_bundles(const Peer& peer);
  Result<ValidateJWTSVIDResponse> validate_jwt_svid(const Peer& peer, const ValidateJWTSVIDRequest& request);

 private:
  struct Entitled {
    std::shared_ptr<const WorkloadState> state;
    std::vector<const Registration*> registrations;  // of state; at least one, no SPIFFE ID twice
  };
  Result<Entitled> entitled(const Peer& peer) const;
  std::shared_ptr<const WorkloadState> state() const;

  Svids svids_;
  const Clock& clock_;
  const Denied denied_;
  mutable std::mutex mutex_;
  std::shared_ptr<const WorkloadState> state_ = std::make_shared<const WorkloadState>();
};

}  // namespace mezite::agent
