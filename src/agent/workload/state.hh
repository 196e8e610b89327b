// What the hub has told of workloads on this node, and what it is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "crypto/x509.hh"
#include "spiffe/bundle.hh"
#include "spiffe/id.hh"
#include "spiffe/selector.hh"

namespace mezite::agent {

struct Registration {
  std::string id;
  spiffe::Id spiffe_id;
  spiffe::Selectors selectors;
  std::string hint;
};

// All of one moment. Immutable once it is in use.
struct WorkloadState {
  std::int64_t revision = 0;                // 0: nothing was told yet
  std::vector<Registration> registrations;  // the oldest first
  spiffe::Bundle bundle;
};

// Asks the hub. Thread-safe; blocks. kPermissionDenied and kInvalidArgument are its answer; anything else may be tried
// again.
class SvidIssuer {
 public:
  virtual ~SvidIssuer() = default;
  virtual Result<crypto::X509Certificate> issue_x509_svid(const std::string& registration,
                                                          BytesView public_key_spki) = 0;
  struct Jwt {
    std::string token;
    SystemTime expires_at;
  };
  virtual Result<Jwt> issue_jwt_svid(const std::string& registration, const std::vector<std::string>& audiences) = 0;
};

}  // namespace mezite::agent
