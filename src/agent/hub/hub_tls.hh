// The TLS side of the hub's gRPC port: whose certificate it shows, before anything is said to it.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "base/result.hh"
#include "crypto/x509.hh"
#include "net/address.hh"

namespace mezite::agent {

// Does a handshake and gives the chain that the hub shows, leaf first, whoever signed it. Blocks. Errors name host,
// port and cause.
Result<std::vector<crypto::X509Certificate>> hub_chain(const net::HostPort& hub, std::chrono::milliseconds timeout);

// The pin of the CA that the chain ends with, as `mezctl ca status` prints it: "sha256:…".
std::string shown_pin(std::span<const crypto::X509Certificate> chain);

// What gRPC needs to trust exactly the CA with this pin.
struct PinnedHub {
  std::string ca_pem;
  std::string server_name;  // one that the hub's certificate has, as the address dialled need not be
};
// pins: 64 hexadecimal digits each; all of them must be in the chain, and the leaf must lead to them.
Result<PinnedHub> pin_hub(std::span<const crypto::X509Certificate> chain, const std::vector<std::string>& pins,
                          SystemTime now);

}  // namespace mezite::agent
