// What workloads get of the SPIFFE CA.
#include <fmt/format.h>

#include "pki/key_ring.hh"

namespace mezite::pki {

Result<crypto::X509Certificate> Authority::issue_workload_x509(const WorkloadX509Request& request) const {
  auto ring = state_->ring();
  const LoadedKey& ca = *ring->of(AuthorityType::kSpiffe).active;
  SystemTime now = state_->clock->now();
  crypto::X509LeafSpec spec{
      .common_name = "workload",  // who it is is in the URI; a path need not fit in here
      .organization = state_->cluster_name,
      .dns_names = request.dns_names,
      .ip_addresses = {},
      .uris = {request.id.text()},
      .not_before = now - kBackdating,
      .not_after = now + request.ttl,
      .usage = crypto::X509Usage::kServerAndClient,
  };
  return crypto::issue_x509_leaf(*ca.x509, ca.key.raw(), request.public_key_spki, spec);
}

Result<WorkloadJwt> Authority::sign_workload_jwt(const WorkloadJwtRequest& request) const {
  auto ring = state_->ring();
  const LoadedKey& ca = *ring->of(AuthorityType::kSpiffe).active;
  SystemTime now = state_->clock->now();
  spiffe::JwtClaims claims{.subject = request.id,
                           .audiences = request.audiences,
                           .issued_at = now,
                           .expires_at = std::min(now + request.ttl, ca.expires_at)};
  MEZ_TRY(std::string token, spiffe::sign_jwt_svid(*ca.jwt_signer, claims));
  return WorkloadJwt{.token = std::move(token), .kid = ca.jwt_key->kid, .expires_at = claims.expires_at};
}

spiffe::Bundle Authority::spiffe_bundle() const {
  TrustBundle trust = trust_bundle();
  return {.trust_domain = state_->cluster_name,
          .x509 = std::move(trust.spiffe_x509),
          .jwt = std::move(trust.spiffe_jwt),
          .sequence = trust.revision};
}

}  // namespace mezite::pki
