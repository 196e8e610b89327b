// Chain verification against a prepared store, for x509.cc and tls.cc.
#pragma once

#include <span>
#include <string_view>

#include "base/clock.hh"
#include "base/result.hh"
#include "crypto/x509.hh"

struct x509_store_st;

namespace mezite::crypto::ossl {

// chain: not empty, leaf first. host: empty for no name check.
Status verify_chain(std::span<const X509Certificate> chain, x509_store_st* store, SystemTime now, X509Usage usage,
                    std::string_view host);

}  // namespace mezite::crypto::ossl
