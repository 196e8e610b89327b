#include "crypto/exit_handler.hh"

#include <openssl/crypto.h>

#include "crypto/ossl.hh"

namespace mezite::crypto {

void skip_openssl_exit_handler() {
  // What the first call of the process says about the handler holds (OPENSSL_init_crypto(3)).
  ossl::require(OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr) == 1, "starting OpenSSL without its exit handler");
}

}  // namespace mezite::crypto
