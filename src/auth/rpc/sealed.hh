// Calls that carry their own proof, for a way to the hub on which a load balancer ends TLS (docs/protocols.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "auth/caller.hh"
#include "auth/rpc/replay_window.hh"
#include "auth/services.hh"
#include "auth/use/hub_certificates.hh"

namespace mezite::v1 {
class SealedAnswer;
class SealedCall;
}  // namespace mezite::v1

namespace mezite::auth::rpc {

// Thread-safe; the services outlive it.
class SealedCalls {
 public:
  SealedCalls(Services& services, std::shared_ptr<HubCertificates> certificates)
      : services_(services), certificates_(std::move(certificates)), window_(services.clock) {}

  struct Opened {
    std::string method;
    Caller caller;  // kAgent when an agent has signed the call; else kAnonymous
  };
  // Whose call it is, once: certificate of the Host CA and good now, signature of its key over exactly this request,
  // for this cluster, now and not before. A call without a certificate is nobody's. kUnauthenticated says what is
  // wrong.
  Result<Opened> open(const v1::SealedCall& call, std::string_view client_ip);

  // The id of the node that the call says it comes from, for a log: nothing of it has been checked. "" for none.
  static std::string claimed_node(const v1::SealedCall& call);

  // The answer to a call, signed with the hub's certificate.
  Status seal(const v1::SealedCall& call, std::string response, v1::SealedAnswer& answer);

 private:
  Services& services_;
  const std::shared_ptr<HubCertificates> certificates_;
  ReplayWindow window_;
};

}  // namespace mezite::auth::rpc
