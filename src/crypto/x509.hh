// X.509: a small CA (self-signed root, leaves straight below it) and reading what others present.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "crypto/signing_key.hh"

struct x509_st;

namespace mezite::crypto {

// A parsed certificate: cheap to copy (shared, immutable), usable from any thread.
class X509Certificate {
 public:
  static Result<X509Certificate> from_pem(std::string_view pem);  // the first certificate in it
  static Result<X509Certificate> from_der(BytesView der);
  // Every certificate in it, in order; at least one, at most 1000. Other PEM blocks are passed over.
  static Result<std::vector<X509Certificate>> all_from_pem(std::string_view pem);

  std::string to_pem() const;
  Bytes to_der() const;

  std::string subject() const;  // "O=example, CN=hub", escaped for display
  std::string issuer() const;
  std::string common_name() const;  // of the subject; "" when it has none
  std::string serial_hex() const;
  std::vector<std::string> dns_names() const;  // here and in uris() names with control characters are left out
  std::vector<std::string> ip_addresses() const;
  std::vector<std::string> uris() const;
  SystemTime not_before() const;
  SystemTime not_after() const;
  bool is_ca() const;
  Result<VerifyingKey> public_key() const;
  std::string spki_sha256_hex() const;         // what a pin is compared with
  std::string sha256_fingerprint_hex() const;  // of the whole certificate

  // Whether the CA's key signed this certificate and the CA's subject is its issuer. Looks at neither validity nor
  // usage.
  bool is_signed_by(const X509Certificate& ca) const;
  // RFC 6125 for DNS names (wildcards in the left-most label), exact for IP addresses.
  bool matches_host(std::string_view host) const;

  x509_st* handle() const { return certificate_.get(); }
  static X509Certificate from_handle(x509_st* owned);

 private:
  explicit X509Certificate(std::shared_ptr<x509_st> certificate) : certificate_(std::move(certificate)) {}
  std::shared_ptr<x509_st> certificate_;
};

std::string to_pem(std::span<const X509Certificate> chain);

struct X509CaSpec {
  std::string common_name;
  std::string organization;  // may be empty
  SystemTime not_before, not_after;
  std::vector<std::string> uris = {};
};

// A self-signed root with path length 0 and a random serial number.
Result<X509Certificate> make_x509_ca(const SigningKey& key, const X509CaSpec& spec);

enum class X509Usage { kServer, kClient, kServerAndClient };

struct X509LeafSpec {
  std::string common_name;   // at most 64 bytes
  std::string organization;  // may be empty
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::vector<std::string> uris;
  SystemTime not_before, not_after;
  X509Usage usage = X509Usage::kServer;
};

// A leaf for the SubjectPublicKeyInfo given (VerifyingKey::spki()), with a random 127-bit serial number. not_after is
// cut to the CA's. Names with control characters, NUL, or that do not parse as what they are, are kInvalidArgument.
Result<X509Certificate> issue_x509_leaf(const X509Certificate& ca, const SigningKey& ca_key, BytesView subject_spki,
                                        const X509LeafSpec& spec);

// Whether the first of chain leads to one of the roots through the others, at that time, for that usage. The error says
// what is wrong and with which certificate.
Status verify_x509_chain(std::span<const X509Certificate> chain, std::span<const X509Certificate> roots, SystemTime now,
                         X509Usage usage);

}  // namespace mezite::crypto
