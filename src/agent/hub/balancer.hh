// TLS to a load balancer that ends it in front of the hub: whose certificates it may show.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"

namespace mezite::crypto {
class TlsContext;
}

namespace mezite::agent {

// PEM: of ca_file, or, when that is empty, of the system's list. The error names the file and what to set.
Result<std::string> balancer_roots(const std::filesystem::path& ca_file);

// Dials the tunnel through the balancer. Thread-safe, cheap to copy; an empty one leaves connections as they are.
class BalancerTls {
 public:
  BalancerTls() = default;
  static Result<BalancerTls> of(const std::string& roots_pem);
  // What the SSH of the tunnel runs on: `connected`, or a socket whose bytes go through TLS over it to this host.
  Result<UniqueFd> wrap(net::Shard& shard, UniqueFd connected, const std::string& host) const;

 private:
  std::shared_ptr<crypto::TlsContext> context_;
};

}  // namespace mezite::agent
