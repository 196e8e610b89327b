// Whether the hub is the one meant: a pin given, a pin kept, a public certificate, or a person who compares.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.hh"
#include "client/profile.hh"
#include "client/web_api.hh"
#include "net/address.hh"
#include "net/http/http_client.hh"

namespace mezite::client {

struct TrustChoice {
  TrustMode mode = TrustMode::kSystem;
  std::string ca_pin;  // "sha256:…" for kPin

  net::http::TrustPolicy policy() const;
};

// The trust that a profile keeps.
TrustChoice trust_of(const Profile& profile);

// Takes over what the hub says of its CAs, over a connection that was trusted: host keys, and where a pin is what
// counts, the pins. Whether anything has changed. What can't be read leaves everything as it was.
bool take_over(const HubTrust& news, Profile& profile);

struct TrustRequest {
  net::HostPort proxy;
  std::string ca_pin;              // --ca-pin or MEZITE_CA_PIN; empty: none
  bool insecure = false;           // --insecure
  const Profile* known = nullptr;  // what is kept about this hub
  // Asks a person; unset when there is none. Gives whether the fingerprint is right.
  std::function<bool(const std::string& ca_pin)> ask;
};

// In this order: the pin given, --insecure, the pin kept, a certificate that the system trusts, the person. Contacts
// the hub where it has to. Never falls back from a pin to anything weaker.
Result<TrustChoice> decide_trust(const TrustRequest& request);

}  // namespace mezite::client
