// The three certificate authorities, and everything they sign.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "crypto/x509.hh"
#include "pki/key_store.hh"
#include "pki/rotation.hh"
#include "pki/secret_box.hh"
#include "spiffe/bundle.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/public_key.hh"
#include "store/database.hh"

namespace mezite::pki {

enum class AuthorityType { kUser, kHost, kSpiffe };
std::string_view to_text(AuthorityType type);  // "user", "host", "spiffe"
Result<AuthorityType> parse_authority_type(std::string_view text);

enum class ExportFormat { kOpenSsh, kX509, kSpiffeBundle };
Result<ExportFormat> parse_export_format(std::string_view text);  // "openssh", "x509", "spiffe-bundle"

enum class Permit { kNo, kYes };

using Traits = std::map<std::string, std::vector<std::string>, std::less<>>;

struct UserCertificateRequest {
  std::string user;  // becomes the key id
  ssh::PublicKey public_key;
  std::vector<std::string> logins;  // principals; never empty
  std::vector<std::string> roles;
  Traits traits;
  std::chrono::seconds ttl{};  // from now; at most kMaxUserTtl, the caller applies the roles' limit
  std::string source_address;  // CIDR list or address that the certificate is pinned to; empty: not pinned
  Permit pty = Permit::kYes;
  Permit port_forwarding = Permit::kYes;
  Permit agent_forwarding = Permit::kYes;
  Permit x11_forwarding = Permit::kYes;
  std::optional<SystemTime> login_time;
};
inline constexpr std::chrono::hours kMaxUserTtl{24};
inline constexpr std::chrono::seconds kBackdating{60};  // certificates start this long before now
inline constexpr std::string_view kRolesExtension = "roles@mezite.com";
inline constexpr std::string_view kTraitsExtension = "traits@mezite.com";
inline constexpr std::string_view kLoginTimeExtension = "login-time@mezite.com";

struct HostCertificateRequest {
  std::string node_id;             // first principal
  std::vector<std::string> names;  // further principals: node name, name.cluster; for the hub: cluster name, host names
  ssh::PublicKey public_key;
  std::chrono::seconds ttl{std::chrono::hours(24 * 30)};
};

struct AgentX509Request {
  std::string node_id;
  std::string node_name;
  Bytes public_key_spki;  // DER
  std::chrono::seconds ttl{std::chrono::hours(24 * 30)};
};

struct ServerX509Request {
  Bytes public_key_spki;  // DER
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::chrono::seconds ttl{std::chrono::hours(24 * 90)};
};

// What workloads get, of the SPIFFE CA. The callers have decided that they may.
struct WorkloadX509Request {
  spiffe::Id id;
  Bytes public_key_spki;  // DER
  std::vector<std::string> dns_names;
  std::chrono::seconds ttl{};
};
struct WorkloadJwtRequest {
  spiffe::Id id;
  std::vector<std::string> audiences;
  std::chrono::seconds ttl{};
};
struct WorkloadJwt {
  std::string token;
  std::string kid;
  SystemTime expires_at;
};

// Who an agent certificate is about, from its URI spiffe://<cluster>/agent/<node id>.
struct AgentIdentity {
  std::string node_id;
};

// What agents and clients trust now; of each kind the key that signs first.
struct TrustBundle {
  std::vector<ssh::PublicKey> user_cas;
  std::vector<ssh::PublicKey> host_cas;
  std::vector<crypto::X509Certificate> host_x509;
  std::vector<crypto::X509Certificate> spiffe_x509;
  std::vector<spiffe::JwtKey> spiffe_jwt;
  std::int64_t revision = 0;  // whoever holds a bundle takes no older one
};

struct AuthorityStatus {
  AuthorityType type;
  Rotation rotation;
  KeyPair keys;                     // SHA256:…, of the SSH form of the keys
  SystemTime expires_at;            // of the X.509 certificate; the user CA's has the same life
  std::string pin;                  // "sha256:<hex>" for the host CA, else ""
  KmsName active_kms, standby_kms;  // empty when the key is in the database, or there is none
};

// Thread-safe: what signs uses the keys of the moment in which it starts. Signing takes well under a millisecond with
// keys in the database, and up to seconds with a KMS: what signs or issues is called on worker threads only. Nothing
// here touches the database after open().
class Authority {
 public:
  // Makes the three CAs when the database has none, all in one transaction. `box` must be the database's own; `keys`
  // is needed during the call only.
  static Result<std::unique_ptr<Authority>> open(store::Database& database, const SecretBox& box, KeyStore& keys,
                                                 std::string cluster_name, const Clock& clock = system_clock());
  ~Authority();

  const std::string& cluster_name() const;
  // True when open() made the CAs: the caller writes ca.created events.
  bool created_now() const;

  Result<ssh::Certificate> sign_user_certificate(const UserCertificateRequest& request) const;
  Result<ssh::Certificate> issue_host_certificate(const HostCertificateRequest& request) const;
  // Client certificate of an agent, of the Host CA: URI spiffe://<cluster>/agent/<id>, DNS names id and name.
  Result<crypto::X509Certificate> issue_agent_x509(const AgentX509Request& request) const;
  // The hub's own server certificate, of the Host CA. Show it with host_ca_certificate() behind it.
  Result<crypto::X509Certificate> issue_server_x509(const ServerX509Request& request) const;

  // An X509-SVID: the SPIFFE ID is its only URI; for servers and clients. To be shown without a chain.
  Result<crypto::X509Certificate> issue_workload_x509(const WorkloadX509Request& request) const;
  Result<WorkloadJwt> sign_workload_jwt(const WorkloadJwtRequest& request) const;
  // What X509-SVIDs and JWT-SVIDs are checked with; during a rotation with the keys of both CAs.
  spiffe::Bundle spiffe_bundle() const;

  // Whether a client certificate is an agent's of this cluster: signed by a trusted Host CA, valid now, the one URI.
  Result<AgentIdentity> verify_agent_x509(const crypto::X509Certificate& certificate) const;

  TrustBundle trust_bundle() const;
  std::vector<AuthorityStatus> status() const;
  // For people: sentences about CAs that expire within 90 days.
  std::vector<std::string> warnings() const;
  // "openssh": a public key line; "x509": PEM; "spiffe-bundle": JSON. kInvalidArgument for a form that the CA has not.
  Result<std::string> export_public(AuthorityType type, ExportFormat format) const;

  // One step of a rotation (rotation.hh), in one transaction: keys, phase, revision, and `note`, a text of the caller's
  // that unsettled_notes() gives until settle() — so that what must follow a step follows it after a crash, too. For
  // kKeyMade the key is made first, outside of the transaction: that may take seconds, and a failure leaves everything
  // as it was. kFailedPrecondition for a step that is not legal now. What is signed from its return on is signed by the
  // key that then is active.
  Result<Transition> step(AuthorityType type, RotationStep step, std::string_view note, store::Database& database,
                          const SecretBox& box, KeyStore& keys);
  static Result<std::vector<std::string>> unsettled_notes(store::Database& database);
  static Status settle(store::Database& database, std::string_view note);

  crypto::X509Certificate host_ca_certificate() const;
  // What a server of the hub shows behind its leaf. While the Host CA is rotated this leads to both of its keys.
  std::vector<crypto::X509Certificate> host_ca_chain() const;
  std::vector<std::string> host_ca_pins() const;  // of all keys that are trusted, the one that signs first
  std::string host_ca_pin() const;                // 64 hexadecimal digits: SHA-256 of the SubjectPublicKeyInfo
  std::string host_ca_fingerprint() const;        // SHA256:… of the SSH key, as in host_cert_signer_fingerprint

 private:
  struct State;
  explicit Authority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::pki
