// The certificate that 3080 shows.
#pragma once

#include <memory>

#include "auth/services.hh"
#include "crypto/tls.hh"

namespace mezite::proxy {

// tls_mode auto: a fresh leaf of the Host CA, the CA behind it. files: the chain and key of proxy.tls.cert_file and
// key_file. Null for off. Errors name the file.
Result<std::shared_ptr<crypto::TlsContext>> make_web_tls(const auth::Services& services);

// The same certificate renewed or read again, for connections from now on.
Status renew_web_tls(const auth::Services& services, crypto::TlsContext& tls);

}  // namespace mezite::proxy
