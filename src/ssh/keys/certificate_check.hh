// Whether a certificate is good now, here, for this: signature, CA, type, validity, principal, critical options.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "base/result.hh"
#include "ssh/keys/certificate.hh"

namespace mezite::ssh {

enum class CertificateRefusalReason {
  kUnknownCa,
  kBadSignature,
  kWrongType,
  kNotYetValid,
  kExpired,
  kPrincipal,  // not listed, or no list at all
  kSourceAddress,
  kCriticalOption,  // unknown, or known and malformed
};

// "unknown_ca", for logs and events.
std::string_view certificate_refusal_name(CertificateRefusalReason reason);

// An Error (kUnauthenticated) with the reason for machines. Converts to a plain Error in MEZ_CHECK.
struct CertificateRefusal : Error {
  CertificateRefusalReason reason = CertificateRefusalReason::kBadSignature;
};

// Remembers which certificates carry a good signature of their own signature key, by SHA-256 of the whole certificate,
// so that the second use saves one signature verification. Holds nothing else: all other rules are looked at each time.
// Bounded: at the limit the older half is dropped. Thread-safe.
class SignatureCache {
 public:
  explicit SignatureCache(std::size_t max_entries = 4096);
  ~SignatureCache();
  SignatureCache(const SignatureCache&) = delete;
  SignatureCache& operator=(const SignatureCache&) = delete;

  bool contains(BytesView digest) const;
  void insert(BytesView digest);
  std::size_t size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct CertificateCheck {
  CertificateType type = CertificateType::kUser;
  std::span<const PublicKey> trusted_cas;  // compared byte for byte
  SystemTime now{};                        // no skew is allowed for: issuers back-date by a minute
  // A name that must be among the principals. Without it the list is only required not to be empty.
  std::optional<std::string_view> principal;
  // The peer's address as text ("192.0.2.7", "2001:db8::1"), for source-address. Without it a certificate that has that
  // option is refused.
  std::optional<std::string_view> source_address;
  SignatureCache* cache = nullptr;
};

// Critical options known: "force-command" (the caller must enforce it: see Certificate::find_critical_option),
// "source-address", and "verify-required" for FIDO keys (userauth/ enforces it); any other refuses the certificate, as
// does any at all on a host certificate. Messages for time are exactly "ssh: certificate not yet valid" and "ssh:
// certificate expired".
std::expected<void, CertificateRefusal> verify_certificate(const Certificate& certificate,
                                                           const CertificateCheck& check);

// "192.0.2.0/24,2001:db8::/32" against an address. An unparsable list or address matches nothing and is an error; bits
// behind the prefix must be zero, as OpenSSH demands. IPv4-mapped IPv6 addresses count as IPv4.
Result<bool> match_source_address(std::string_view cidr_list, std::string_view address);

}  // namespace mezite::ssh
