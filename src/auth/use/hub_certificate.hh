// The hub's own TLS certificate: a leaf of the Host CA with the CA's certificate behind it, so that a client finds the
// key that its pin names.
#pragma once

#include "auth/services.hh"
#include "crypto/tls.hh"

namespace mezite::auth {

struct HubCertificate {
  crypto::TlsIdentity identity;
  std::vector<crypto::X509Certificate> client_roots;  // whose certificates agents may show
  std::int64_t revision = 0;                          // of the trust bundle that it goes with
  SystemTime renew_at{};                              // half of its life
  SystemTime expires_at{};
};

// A new P-256 key and its leaf. Names: the cluster, localhost, this host, the host of proxy.public_addr and of the
// listeners, 127.0.0.1 and ::1.
Result<HubCertificate> issue_hub_certificate(const Services& services);

}  // namespace mezite::auth
