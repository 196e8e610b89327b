// Calls that carry their own proof, for a way to the hub on which a load balancer ends TLS (docs/protocols.md).
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "auth/caller.hh"
#include "auth/rpc/replay_window.hh"
#include "auth/services.hh"
#include "auth/use/hub_certificate.hh"

namespace mezite::v1 {
class SealedAnswer;
class SealedCall;
}  // namespace mezite::v1

namespace mezite::auth::rpc {

// Thread-safe; the services outlive it.
class SealedCalls {
 public:
  explicit SealedCalls(Services& services) : services_(services), window_(services.clock) {}

  struct Opened {
    std::string method;
    Caller caller;  // kAgent when an agent has signed the call; else kAnonymous
  };
  // Whose call it is, once: certificate of the Host CA and good now, signature of its key over exactly this request,
  // for this cluster, now and not before. A call without a certificate is nobody's. kUnauthenticated says what is
  // wrong.
  Result<Opened> open(const v1::SealedCall& call, std::string_view client_ip);

  // The answer to a call, signed with the hub's certificate.
  Status seal(const v1::SealedCall& call, std::string response, v1::SealedAnswer& answer);

 private:
  Result<HubCertificate> certificate();

  Services& services_;
  ReplayWindow window_;
  std::mutex mutex_;
  std::optional<HubCertificate> certificate_;
  std::int64_t trust_revision_ = 0;
};

}  // namespace mezite::auth::rpc
