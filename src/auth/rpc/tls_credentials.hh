// TLS for the gRPC listener whose certificate and client roots are fetched anew when they are due, with no restart.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.hh"
#include "base/result.hh"
#include "base/secret.hh"

namespace grpc {
class ServerCredentials;
}

namespace mezite::auth::rpc {

struct TlsMaterial {
  std::string chain_pem;  // leaf first, the CA's certificate after it
  Secret key_pem;
  std::string client_roots_pem;    // CAs whose client certificates are taken
  SystemTime renew_at;             // from here on handshakes ask for new material
  std::function<bool()> outdated;  // or when this says so; unset: never. Called for each handshake.
};

// Makes material for now. Called by gRPC's threads, one call at a time.
using TlsMaterialSource = std::function<Result<TlsMaterial>()>;

// TLS 1.3 only; client certificates are verified when one is sent and not required. The initial material is fetched
// here, so that its failure is an error at start. Keep it until the server is gone: gRPC refers to it, but does not own
// it.
Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(TlsMaterialSource source, const Clock& clock);

// To be called once, before the first gRPC object of the process exists. gRPC 1.51 has no setting for the least TLS
// version and always allows 1.2; it reads its cipher list from the environment, though, and TLS 1.3 does not use that
// list. With nothing but a pre-shared-key suite in it, for which neither side has a key, 1.2 can never be agreed.
void allow_only_tls13();

}  // namespace mezite::auth::rpc
