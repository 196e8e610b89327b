// OpenSSH certificates (OpenSSH's PROTOCOL.certkeys): the parsed form and issuance. Verification: certificate_check.hh.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "ssh/keys/public_key.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh {

enum class CertificateType : std::uint32_t { kUser = 1, kHost = 2 };

// Name and value; the value is what the option's SSH string holds, so "force-command" has a nested string in it. See
// option_text().
using CertificateOptions = std::vector<std::pair<std::string, Bytes>>;

// The nested SSH string in an option's value, or nothing when it is not exactly one.
Result<std::string> option_text(BytesView value);
// The other way round.
Bytes option_value(std::string_view text);

// A parsed certificate. Parsing says nothing about trust: the signature has not been looked at. Immutable, cheap to
// copy, usable from any thread.
class Certificate {
 public:
  static constexpr std::size_t kMaxWireBytes = 65536;
  static constexpr std::size_t kMaxPrincipals = 256;  // as OpenSSH
  static constexpr std::size_t kMaxOptions = 256;

  // Refuses: options or extensions unsorted or twice, trailing bytes, a certificate as signature key (Teleport
  // CVE-2025-49825), unknown types, over the bounds above, a subject key that PublicKey refuses.
  static Result<Certificate> from_wire(BytesView wire);
  static Result<Certificate> from_text(std::string_view line);  // "ssh-ed25519-cert-v01@openssh.com AAAA… comment"

  const Bytes& wire() const { return data_->wire; }
  std::string to_text(std::string_view comment = {}) const;  // no newline
  std::string_view name() const { return certificate_key_name(public_key().type()); }

  std::uint64_t serial() const { return data_->serial; }
  CertificateType type() const { return data_->type; }
  const std::string& key_id() const { return data_->key_id; }
  const std::vector<std::string>& valid_principals() const { return data_->valid_principals; }
  std::uint64_t valid_after() const { return data_->valid_after; }    // seconds since 1970
  std::uint64_t valid_before() const { return data_->valid_before; }  // exclusive; 2^64−1: for ever
  const CertificateOptions& critical_options() const { return data_->critical_options; }
  const CertificateOptions& extensions() const { return data_->extensions; }
  // nullptr when it is not there.
  const Bytes* find_critical_option(std::string_view option) const;
  const Bytes* find_extension(std::string_view extension) const;
  const PublicKey& public_key() const { return data_->public_key; }
  // What a FIDO key's signature must show when it comes with this certificate, by what the certificate says: good to go
  // by once verify_certificate() has passed.
  AuthenticatorRules authenticator_rules() const;
  const PublicKey& signature_key() const { return data_->signature_key; }
  BytesView signed_part() const { return {data_->wire.data(), data_->signed_size}; }
  const Bytes& signature() const { return data_->signature; }

  bool operator==(const Certificate& other) const { return wire() == other.wire(); }

 private:
  struct Data {
    Bytes wire;
    std::size_t signed_size = 0;
    std::uint64_t serial = 0;
    CertificateType type = CertificateType::kUser;
    std::string key_id;
    std::vector<std::string> valid_principals;
    std::uint64_t valid_after = 0;
    std::uint64_t valid_before = 0;
    CertificateOptions critical_options;
    CertificateOptions extensions;
    PublicKey public_key;
    PublicKey signature_key;
    Bytes signature;
  };
  explicit Certificate(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

// A key blob as a peer presents it: plain or certified.
using PublicCredential = std::variant<PublicKey, Certificate>;
Result<PublicCredential> parse_public_credential(BytesView wire);
// The plain key in either.
const PublicKey& plain_key(const PublicCredential& credential);

struct CertificateRequest {
  PublicKey public_key;
  CertificateType type = CertificateType::kUser;
  std::string key_id;
  std::vector<std::string> principals;
  SystemTime valid_after{};
  SystemTime valid_before{};            // exclusive
  CertificateOptions critical_options;  // sorted by sign_certificate
  CertificateOptions extensions;        // as well
};

// The permit-* extensions that ssh-keygen gives by default, each with an empty value.
CertificateOptions default_user_extensions();

// Signs with a random serial number and nonce. kInvalidArgument for: no principals (Vault CVE-2024-7594); one that is
// empty or has a comma, white space, glob, NUL or other control character in it, or is not UTF-8 (OpenSSH
// CVE-2026-35414); an end not after the start; an option twice; a key id with control characters.
Result<Certificate> sign_certificate(CertificateRequest request, const Signer& ca);

// Whether a name may stand as a principal, by the rule above.
Status check_principal(std::string_view principal);

}  // namespace mezite::ssh
