// Who this agent is, in $MEZITE_DATA_DIR/agent/: keys, certificates, and whom it trusts.
//
//   node.json                        node id, node name, cluster name
//   ssh_host_ed25519_key[-cert.pub]  host key and its certificate
//   x509.key, x509.pem               for gRPC: key; certificate, then the Host CA's
//   trust.json                       keys of the Host CA (the pin of the first join, kept up to date) and the User CA
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "base/result.hh"
#include "crypto/signing_key.hh"
#include "crypto/x509.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/transport/transport.hh"

namespace mezite::agent {

struct Trust {
  std::vector<std::string> user_cas;  // "ssh-ed25519 AAAA…"
  std::vector<std::string> host_cas;
  std::vector<std::string> host_cas_pem;  // X.509
  std::vector<std::string> spiffe_cas_pem;
  std::int64_t revision = 0;  // a bundle with a lower one is not taken
  bool operator==(const Trust&) const = default;
};

// As the hub wants to know it.
struct CaReport {
  std::int64_t revision = 0;
  std::vector<std::string> user, host, spiffe;
  std::string ssh_signer, x509_signer;
};

// The two keys, made once; they never leave the node.
struct AgentKeys {
  ssh::PrivateKey host_key;
  crypto::SigningKey tls_key;

  static Result<AgentKeys> generate();
};

struct AgentIdentity {
  std::string node_id;
  std::string node_name;
  std::string cluster_name;
  AgentKeys keys;
  ssh::Certificate host_certificate;
  std::string x509_pem;
  Trust trust;

  // For the SSH server and for the control connection.
  ssh::HostKey ssh_host_key() const;
  // The keys that are trusted and those that signed the two certificates, as fingerprints; "" for a signer that is not
  // trusted (any more).
  CaReport ca_report() const;
  // Whether both certificates are of the key that the Host CA signs with now, as far as is known here.
  bool is_of_signing_ca() const;
  // When two thirds of the life of the certificate that ends first are over.
  Result<SystemTime> renew_at() const;
};

// Checks what the hub sent (certificates fit the keys, the CA keys parse) and makes an identity of it.
struct CertificateTexts {
  std::string ssh_host_certificate;
  std::string x509_pem;
  Trust trust;
};
Result<AgentIdentity> make_identity(std::string node_id, std::string node_name, std::string cluster_name,
                                    AgentKeys keys, const CertificateTexts& certificates);

// The folder with everything in it. A folder is written whole under another name and then renamed, so an agent that
// dies while it joins has joined or has not.
class IdentityFolder {
 public:
  explicit IdentityFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Nothing: this agent has not joined yet. An error: what is there can't be used, and says what to do.
  Result<std::optional<AgentIdentity>> load() const;
  Status create(const AgentIdentity& identity) const;
  // New certificates or trust for the same keys; each file is replaced at once.
  Status update(const AgentIdentity& identity) const;

 private:
  Status write_all_files(const std::filesystem::path& folder, const AgentIdentity& identity) const;
  std::filesystem::path folder_;
};

}  // namespace mezite::agent
