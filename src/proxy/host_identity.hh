// The hub's own SSH host key and certificate.
#pragma once

#include <memory>

#include "auth/services.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::proxy {

// The settings of a listener with a fresh key and a certificate of the Host CA for it: cluster name, this host, the
// host of proxy.public_addr, localhost and the loopback addresses.
struct SshIdentity {
  std::shared_ptr<const ssh::ServerConfig> front;   // 3023
  std::shared_ptr<const ssh::ServerConfig> tunnel;  // 3024
};
Result<SshIdentity> issue_ssh_identity(const auth::Services& services);

inline constexpr std::chrono::hours kHostCertificateLife{24 * 30};

// The address that users connect to with ssh: public host and the port of the SSH listener.
std::string public_ssh_address(const auth::Services& services, std::uint16_t bound_port);

}  // namespace mezite::proxy
