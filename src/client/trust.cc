#include "client/trust.hh"

#include "crypto/tls.hh"

namespace mezite::client {

net::http::TrustPolicy TrustChoice::policy() const {
  using net::http::TrustPolicy;
  switch (mode) {
    case TrustMode::kPin: return {TrustPolicy::Mode::kCaPin, ca_pin};
    case TrustMode::kInsecure: return {TrustPolicy::Mode::kInsecure, {}};
    case TrustMode::kSystem: break;
  }
  return {TrustPolicy::Mode::kSystem, {}};
}

TrustChoice trust_of(const Profile& profile) { return {profile.trust, profile.ca_pin}; }

bool take_over(const HubTrust& news, Profile& profile) {
  const Profile before = profile;
  if (!news.host_cas.empty() && parse_key_lines(news.host_cas)) profile.host_cas = news.host_cas;
  std::string pins;
  for (const auto& pin : news.ca_pins) {
    if (!crypto::parse_pin(pin)) return false;
    pins += (pins.empty() ? "" : ",") + pin;
  }
  if (profile.trust == TrustMode::kPin && !pins.empty()) profile.ca_pin = pins;
  return profile.host_cas != before.host_cas || profile.ca_pin != before.ca_pin;
}

Result<TrustChoice> decide_trust(const TrustRequest& request) {
  if (!request.ca_pin.empty()) {
    MEZ_TRY(const std::string hex, crypto::parse_pin(request.ca_pin));
    return TrustChoice{TrustMode::kPin, "sha256:" + hex};
  }
  if (request.insecure) return TrustChoice{TrustMode::kInsecure, {}};
  if (request.known != nullptr && request.known->trust == TrustMode::kPin) return trust_of(*request.known);

  const TrustChoice system{TrustMode::kSystem, {}};
  const auto ping = WebApi(request.proxy, system.policy()).ping();
  if (ping) return system;
  if (ping.error().code != ErrorCode::kUnauthenticated || !request.ask) return std::unexpected(ping.error());
  MEZ_TRY(const auto shown, net::http::probe(request.proxy.host, request.proxy.port, std::chrono::seconds(15)));
  if (shown.ca_pin.empty()) {
    return fail(ErrorCode::kUnauthenticated,
                "{} shows a certificate that nothing here trusts and no CA with it; it is not a Mezite hub with a "
                "certificate of its own",
                request.proxy.text());
  }
  if (!request.ask(shown.ca_pin))
    return fail(ErrorCode::kUnauthenticated, "not logged in: the hub's fingerprint was not confirmed");
  return TrustChoice{TrustMode::kPin, shown.ca_pin};
}

}  // namespace mezite::client
