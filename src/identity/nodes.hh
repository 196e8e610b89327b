// The nodes of the cluster.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "identity/join_tokens.hh"

namespace mezite::identity {

struct Node {
  std::string id;    // UUID
  std::string name;  // unique, compared without case
  std::string hostname;
  access::Labels labels;  // the agent's own, with those of its join token over them
  std::string version;
  std::string ssh_public_key;                // "ssh-ed25519 AAAA…"
  std::string host_cert_signer_fingerprint;  // SHA256:…
  std::optional<SystemTime> host_cert_expires_at;
  SystemTime joined_at{};
  std::optional<SystemTime> last_heartbeat;
  std::string ca_report;           // what it said last of the CAs (JSON); "" when it never did
  std::string enhanced_recording;  // what it said of the kernel's part in recording; "" when it never did
  std::string joined_as;           // the ARN that AWS knew it by; "" when it joined with a secret
};

struct NewNode {
  std::string name;
  std::string hostname;
  access::Labels labels;
  std::string version;
  std::string ssh_public_key;
  Bytes tls_public_key_spki;
};

// What an agent says of itself on its control connection.
struct NodeReport {
  std::string node_id;
  SystemTime at{};
  std::optional<std::string> hostname, version;
  std::optional<access::Labels> labels;  // refused ones are left out, as are those that the join token set
  std::optional<std::string> ca_report;
  std::optional<std::string> enhanced_recording;
  std::optional<std::string> host_cert_signer_fingerprint;
};

// Whether a node that joins under a name that is there takes its place. The caller says kReplace when the one that is
// there is not connected: a machine that was set up anew comes back under its name, one that lives can't be pushed out.
enum class NameTaken { kRefuse, kReplace };

struct Joined {
  Node node;
  JoinToken token;
  std::optional<std::string> replaced_node_id;
};

class Nodes {
 public:
  Nodes(store::Database& database, const Clock& clock, JoinTokens& tokens)
      : database_(database), clock_(clock), tokens_(tokens) {}

  // Names that no node may have, since its host certificate could stand for the hub: the cluster's, the hub's own. Nor
  // any that ends in .<cluster name>, which is how nodes are called from outside. Before the first join.
  void set_reserved_names(std::string cluster_name, std::vector<std::string> hub_names);

  // Uses up the token and makes the node, both or neither. Errors of JoinTokens::consume; kInvalidArgument (name,
  // labels); kAlreadyExists.
  Result<Joined> join(std::string_view token, const NewNode& node, NameTaken when_taken);
  // The same for one that AWS vouches for. It takes the place of a node only that joined as the same ARN: other
  // machines of a group may not have each other's names. kPermissionDenied of check_aws_identity().
  Result<Joined> join_as(const AwsIdentity& who, std::string_view token_id, const NewNode& node, NameTaken when_taken);

  Result<std::vector<Node>> list() const;               // by name
  Result<Node> get(std::string_view name_or_id) const;  // kNotFound
  Result<Node> get_by_id(std::string_view id) const;    // for certificates: never by name
  Status remove(std::string_view name_or_id);           // its certificates are worth nothing from then on
  // At join and at each renewal.
  Status set_certificate(std::string_view id, std::string_view signer_fingerprint, SystemTime expires_at);
  // Renewal with new keys.
  Status set_keys(std::string_view id, std::string_view ssh_public_key, BytesView tls_public_key_spki);
  // Many in one transaction; of nodes that are gone: passed over.
  Status report(std::span<const NodeReport> reports);

 private:
  Status check(const NewNode& node) const;
  // In a transaction that has dealt with the token.
  Result<Joined> take_in(store::Session& transaction, JoinToken token, const NewNode& node, NameTaken when_taken,
                         std::string_view joined_as);

  store::Database& database_;
  const Clock& clock_;
  JoinTokens& tokens_;
  std::string cluster_name_;
  std::vector<std::string> reserved_;
};

}  // namespace mezite::identity
