// Whom mezctl believes to be the hub: the pin of the Host CA, given, or kept in ~/.mezctl/known.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "net/address.hh"

namespace mezite::client {

// What a hub showed on 3025, verified or not.
struct HubIdentity {
  std::string ca_pem;       // the CA that signed its certificate: the only root to believe from here on
  std::string pin;          // "sha256:…" of that CA's public key
  std::string server_name;  // a DNS name of its certificate
  // Of every CA that vouches for it: while the Host CA is rotated, the key before and the key after.
  std::vector<std::string> pins;
};

// Connects, shakes hands, and looks at the chain: the leaf is a hub's (not an agent's), is valid now, and is signed by
// the CA that comes with it. Nobody has said yet that this CA is the right one. Blocks.
Result<HubIdentity> look_at_hub(const net::HostPort& hub, std::chrono::milliseconds timeout);

// One line for each hub: "host:port sha256:…". The file is 0600 in a folder of 0700.
class KnownHubs {
 public:
  explicit KnownHubs(std::filesystem::path file) : file_(std::move(file)) {}
  // $MEZCTL_HOME/known or ~/.mezctl/known.
  static KnownHubs of_user();

  std::optional<std::string> pin_of(const net::HostPort& hub) const;
  Status remember(const net::HostPort& hub, std::string_view pin);

 private:
  std::filesystem::path file_;
};

struct TrustQuestion {
  std::string given_pin;  // --ca-pin or MEZITE_CA_PIN; empty: none
  bool insecure = false;
  // Asks a person whether this pin is right; none when nobody can be asked.
  std::function<bool(const net::HostPort& hub, std::string_view pin)> ask;
};

// The identity to believe, or why not, with the next step. What a person said yes to is remembered.
Result<HubIdentity> trust_hub(const net::HostPort& hub, const TrustQuestion& question, KnownHubs known,
                              std::chrono::milliseconds timeout = std::chrono::seconds(15));

}  // namespace mezite::client
