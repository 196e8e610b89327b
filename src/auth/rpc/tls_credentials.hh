// TLS for the gRPC listener whose certificate and client roots are fetched anew when they have changed, with no
// restart.
#pragma once

#include <memory>

#include "auth/use/hub_certificates.hh"

namespace grpc {
class ServerCredentials;
}

namespace mezite::auth::rpc {

// TLS 1.3 only; client certificates are verified when one is sent and not required. Each handshake shows what
// `certificates` has then, asked on a thread of gRPC's. The first is fetched here, so that its failure is an error at
// start. Keep it until the server is gone: gRPC refers to it, but does not own it.
Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(std::shared_ptr<HubCertificates> certificates);

// To be called once, before the first gRPC object of the process exists. gRPC 1.51 has no setting for the least TLS
// version and always allows 1.2; it reads its cipher list from the environment, though, and TLS 1.3 does not use that
// list. With nothing but a pre-shared-key suite in it, for which neither side has a key, 1.2 can never be agreed.
void allow_only_tls13();

}  // namespace mezite::auth::rpc
