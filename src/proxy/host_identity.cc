#include "proxy/host_identity.hh"

#include <sys/utsname.h>

#include <algorithm>

#include "ssh/keys/private_key.hh"

namespace mezite::proxy {

Result<SshIdentity> issue_ssh_identity(const auth::Services& services) {
  MEZ_TRY(ssh::PrivateKey key, ssh::PrivateKey::generate(ssh::KeyType::kEd25519));
  const auth::Config& config = services.config;
  std::vector<std::string> names;
  utsname host{};
  std::string nodename = ::uname(&host) == 0 ? host.nodename : "";
  for (const std::string& name : {config.proxy.public_addr.host, nodename, config.proxy.ssh_listen_addr.host,
                                  std::string("localhost"), std::string("127.0.0.1"), std::string("::1")}) {
    if (name.empty() || name == "0.0.0.0" || name == "::" || name == services.cluster_name()) continue;
    if (!ssh::check_principal(name)) continue;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  MEZ_TRY(ssh::Certificate certificate, services.authority->issue_host_certificate(
                                            {services.cluster_name(), names, key.public_key(), kHostCertificateLife}));
  auto signer = std::make_shared<const ssh::PrivateKey>(std::move(key));

  ssh::ServerConfig front;
  front.transport.role = ssh::Role::kServer;
  front.transport.host_keys.push_back({signer, certificate.wire()});
  front.methods = {ssh::AuthMethod::kPublicKey};
  front.auth_timeout = std::chrono::seconds(60);
  front.keepalive = {std::chrono::seconds(60), 3};

  ssh::ServerConfig tunnel = front;
  tunnel.auth_timeout = std::chrono::seconds(20);
  tunnel.max_attempts = 2;
  tunnel.max_offers = 4;
  tunnel.keepalive = {std::chrono::seconds(15), 3};
  tunnel.limits.max_channels = 4;
  tunnel.limits.window_bytes = 256u << 10;
  return SshIdentity{std::make_shared<const ssh::ServerConfig>(std::move(front)),
                     std::make_shared<const ssh::ServerConfig>(std::move(tunnel))};
}

std::string public_ssh_address(const auth::Services& services, std::uint16_t bound_port) {
  return net::HostPort{services.config.proxy.public_addr.host, bound_port}.text();
}

}  // namespace mezite::proxy
