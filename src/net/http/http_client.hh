// A blocking HTTPS client, for command-line programs and worker threads: one request, one connection.
#pragma once

#include <chrono>
#include <string>

#include "net/http/message.hh"

namespace mezite::net::http {

// Which server certificate is believed.
struct TrustPolicy {
  enum class Mode {
    kCaPin,  // the chain holds a CA whose SubjectPublicKeyInfo has this SHA-256, and it signed the server's certificate
    kSystem,    // the system's roots, and the host name
    kInsecure,  // anything; the answer still says which pin it was
  };
  Mode mode = Mode::kSystem;
  std::string ca_pin;  // "sha256:<64 hex digits>" or the digits alone
};

enum class Scheme { kHttps, kHttp };
// Errors say what to check: of a hub its port and --ca-pin, of others only what happened.
enum class PeerKind { kHub, kOther };

struct ClientRequest {
  Scheme scheme = Scheme::kHttps;
  PeerKind peer = PeerKind::kHub;
  std::string method = "GET";
  std::string host;
  std::uint16_t port = 443;
  std::string target = "/";  // path and query, encoded
  Headers headers;           // Host (unless given), Content-Length and User-Agent are added
  std::string body;
  TrustPolicy trust;
  std::chrono::milliseconds timeout{30'000};  // for all of it
  std::size_t answer_limit_bytes = std::size_t{16} << 20;
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
  std::string ca_pin;            // "sha256:<hex>" of the CA at the chain's end, or "" when the chain has none
  std::string leaf_fingerprint;  // "sha256:<hex>" of the server's certificate
};

// Errors: kUnavailable (cannot reach; names host, port, cause), kUnauthenticated (certificate not believed; says what
// to do), kTimeout, kProtocol. Any status is a success here.
Result<ClientResponse> request(const ClientRequest& request);

// What the server shows, for asking a person once: connects, believes anything, sends nothing.
struct ServerIdentity {
  std::string ca_pin;
  std::string leaf_fingerprint;
};
Result<ServerIdentity> probe(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout);

}  // namespace mezite::net::http
