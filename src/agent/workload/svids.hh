// What was issued for the workloads of this node, kept in memory until it must be issued anew.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "agent/workload/state.hh"
#include "base/secret.hh"

namespace mezite::agent {

struct X509Svid {
  std::string spiffe_id;
  Bytes certificate_der;
  Secret key_pkcs8;
  SystemTime renew_at, expires_at;
  std::string signer;  // fingerprint of the CA's certificate
};

struct JwtSvid {
  std::string token;
  SystemTime renew_at, expires_at;
  std::string kid;
};

// Processes of one registration share one X509-SVID. Thread-safe; calls block for the hub. Keys are made here and
// never leave the node.
class Svids {
 public:
  Svids(SvidIssuer& issuer, const Clock& clock) : issuer_(issuer), clock_(clock) {}

  // One that is less than half through its life and of the key that signs now; where the hub can't give it now, the one
  // before while it is good, with retry_at in the future.
  struct Given {
    std::shared_ptr<const X509Svid> svid;
    SystemTime due;  // ask again then
    bool of_signing_key = true;
  };
  Result<Given> x509(const Registration& registration, const WorkloadState& state);
  Result<std::shared_ptr<const JwtSvid>> jwt(const Registration& registration, std::vector<std::string> audiences,
                                             const WorkloadState& state);

  // Forgets what was issued for registrations that are gone.
  void forget_all_but(const WorkloadState& state);

 private:
  struct Entry {
    std::mutex mutex;  // held while the hub is asked: one asks, the others wait for its answer
    std::shared_ptr<const X509Svid> svid;
    SystemTime retry_at{};
    unsigned failures = 0;
  };
  std::shared_ptr<Entry> entry_of(const std::string& registration);
  Result<std::shared_ptr<const X509Svid>> issue(const Registration& registration, const WorkloadState& state);

  using JwtKey = std::pair<std::string, std::vector<std::string>>;  // registration, audiences
  SvidIssuer& issuer_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::map<JwtKey, std::shared_ptr<const JwtSvid>> tokens_;
};

}  // namespace mezite::agent
