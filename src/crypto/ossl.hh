// Owning pointers for OpenSSL's types, and its error queue as text. For src/crypto/*.cc only.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::crypto::ossl {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

using Pkey = Owned<EVP_PKEY, EVP_PKEY_free>;
using PkeyCtx = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using MdCtx = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using CipherCtx = Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using Bignum = Owned<BIGNUM, BN_clear_free>;
using ParamBld = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Params = Owned<OSSL_PARAM, OSSL_PARAM_free>;
using EcdsaSig = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using Bio = Owned<BIO, BIO_free_all>;
using X509Ptr = Owned<X509, X509_free>;
using X509StorePtr = Owned<X509_STORE, X509_STORE_free>;
using X509StoreCtxPtr = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;
using X509ExtensionPtr = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using GeneralNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using SslPtr = Owned<SSL, SSL_free>;
using SslCtxPtr = Owned<SSL_CTX, SSL_CTX_free>;

// The oldest error in OpenSSL's queue as a short text; empties the queue.
inline std::string take_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

// For calls that fail only when memory or OpenSSL itself is broken: there is no way on.
inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "OpenSSL failed at %s: %s\n", what, take_error().c_str());
  std::abort();
}

inline std::shared_ptr<EVP_PKEY> share(EVP_PKEY* owned) { return {owned, Deleter<EVP_PKEY_free>{}}; }

inline Bytes bn_bytes(const BIGNUM* number) {
  Bytes out(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, out.data());
  return out;
}
inline Bignum bn_from(BytesView magnitude) {
  return Bignum(BN_bin2bn(magnitude.data(), static_cast<int>(magnitude.size()), nullptr));
}

}  // namespace mezite::crypto::ossl
