#include "auth/use/hub_certificate.hh"

#include <sys/utsname.h>

#include <algorithm>

namespace mezite::auth {
namespace {

void add_name(pki::ServerX509Request& request, const std::string& name) {
  if (name.empty() || name == "0.0.0.0" || name == "::") return;
  std::vector<std::string>& names = net::is_ip_address(name) ? request.ip_addresses : request.dns_names;
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

Result<HubCertificate> issue_hub_certificate(const Services& services) {
  MEZ_TRY(crypto::SigningKey key, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256));
  pki::ServerX509Request request{.public_key_spki = key.public_key().spki()};
  const Config& config = services.config;
  utsname host{};
  add_name(request, services.cluster_name());
  add_name(request, "localhost");
  if (::uname(&host) == 0) add_name(request, host.nodename);
  add_name(request, config.proxy.public_addr.host);
  add_name(request, config.auth.listen_addr.host);
  add_name(request, config.proxy.listen_addr.host);
  add_name(request, "127.0.0.1");
  add_name(request, "::1");
  pki::TrustBundle trust = services.authority->trust_bundle();
  MEZ_TRY(crypto::X509Certificate leaf, services.authority->issue_server_x509(request));
  SystemTime now = services.clock.now();
  SystemTime renew_at = now + (leaf.not_after() - now) / 2;
  std::vector<crypto::X509Certificate> chain = services.authority->host_ca_chain();
  chain.insert(chain.begin(), leaf);
  return HubCertificate{.identity = {std::move(chain), std::move(key)},
                        .client_roots = std::move(trust.host_x509),
                        .revision = trust.revision,
                        .renew_at = renew_at,
                        .expires_at = leaf.not_after()};
}

}  // namespace mezite::auth
