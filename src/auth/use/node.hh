// What an agent asks of the hub: to join, to renew its certificates, to know what to decide with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

struct JoinOrder {
  std::string_view token;
  std::string node_name;
  std::string hostname;
  std::string version;
  access::Labels labels;
  std::string_view ssh_public_key;  // "ssh-ed25519 AAAA…"
  BytesView tls_public_key_spki;    // DER
};

struct NodeCertificates {
  std::string ssh_host_certificate;
  std::string x509_pem;    // the leaf and the Host CA's certificate behind it
  pki::TrustBundle trust;  // not newer than what signed the two
};

struct JoinedNode {
  std::string node_id;
  NodeCertificates certificates;
};

// Uses the token up; of many at once with one token exactly one joins. A node of the same name that is connected stays
// (kAlreadyExists); one that is not is replaced. node.joined and token.used, or token.rejected.
// who: as whom AWS knows it; the token is then one of method iam, by its id, and is not used up.
Result<JoinedNode> join_node(Services& services, const JoinOrder& order, std::string_view client_ip,
                             const identity::AwsIdentity* who = nullptr);
// token.rejected, for a join that ends before join_node() is called.
Status reject_join(Services& services, const JoinOrder& order, std::string_view client_ip, const Error& error,
                   const identity::AwsIdentity* who);

// New certificates for a node, for the keys given (its old ones or new ones). node.renewed.
Result<NodeCertificates> renew_node(Services& services, const Caller& agent, std::string_view ssh_public_key,
                                    BytesView tls_public_key_spki);

struct DecisionBasis {
  std::int64_t revision = 0;
  std::vector<std::string> roles_json;
  std::vector<identity::Lock> locks;
  ssh::RevokedCertificates revoked;
};
// Consistent: whatever the revision promises is in it.
Result<DecisionBasis> decision_basis(Services& services);

// Removes it, drops its connections. node.removed.
Status remove_node(Services& services, const Caller& caller, std::string_view name_or_id);

}  // namespace mezite::auth
