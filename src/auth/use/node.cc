#include "auth/use/node.hh"

#include "auth/record.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

constexpr std::size_t kMaxTextBytes = 256;
constexpr std::size_t kMaxSpkiBytes = 4096;

struct NodeKeys {
  ssh::PublicKey ssh;
  Bytes tls_spki;
};

Result<NodeKeys> parse_keys(std::string_view ssh_public_key, BytesView tls_public_key_spki) {
  Result<ssh::PublicKey> ssh_key = ssh::PublicKey::from_text(ssh_public_key);
  if (!ssh_key) {
    return fail(ErrorCode::kInvalidArgument, "the SSH host key is not usable: {}", ssh_key.error().message);
  }
  if (tls_public_key_spki.size() > kMaxSpkiBytes) return fail(ErrorCode::kInvalidArgument, "the TLS key is too long");
  Result<crypto::VerifyingKey> tls_key = crypto::VerifyingKey::from_spki(tls_public_key_spki);
  if (!tls_key) return fail(ErrorCode::kInvalidArgument, "the TLS key is not usable: {}", tls_key.error().message);
  return NodeKeys{std::move(*ssh_key), tls_key->spki()};
}

Result<NodeCertificates> issue(Services& services, const std::string& id, const std::string& name,
                               const NodeKeys& keys) {
  const pki::Authority& authority = *services.authority;
  // Before anything is signed: an agent takes no certificates of a bundle that is older than its own, so these must
  // never look newer than they are.
  pki::TrustBundle trust = authority.trust_bundle();
  pki::HostCertificateRequest host{.node_id = id, .names = {}, .public_key = keys.ssh};
  host.names = {name, name + "." + services.cluster_name()};
  MEZ_TRY(ssh::Certificate ssh_certificate, authority.issue_host_certificate(host));
  pki::AgentX509Request agent{.node_id = id, .node_name = name, .public_key_spki = keys.tls_spki};
  MEZ_TRY(crypto::X509Certificate x509, authority.issue_agent_x509(agent));
  MEZ_CHECK(services.identity->nodes.set_certificate(
      id, ssh_certificate.signature_key().fingerprint(),
      from_unix_seconds(static_cast<std::int64_t>(ssh_certificate.valid_before()))));
  return NodeCertificates{ssh_certificate.to_text(), x509.to_pem() + authority.host_ca_certificate().to_pem(),
                          std::move(trust)};
}

// The part of a token that may be shown: it names what was tried without being it.
std::string token_hint(std::string_view token) { return printable(token.substr(0, 4)) + "…"; }

}  // namespace

Status reject_join(Services& services, const JoinOrder& order, std::string_view client_ip, const Error& error,
                   const identity::AwsIdentity* who) {
  audit::Event event = audit::make_event(audit::EventKind::kTokenRejected, services.clock);
  event.client_ip = std::string(client_ip);
  event.resource_type = "node";
  event.resource_name = printable(order.node_name.substr(0, kMaxTextBytes));
  event.error_message = error.message;
  audit::Details details;
  details.add("token", token_hint(order.token));
  if (who) details.add("aws_account", who->account).add("aws_arn", who->arn);
  event.details = details.text();
  return record(services, event);
}

Result<JoinedNode> join_node(Services& services, const JoinOrder& order, std::string_view client_ip,
                             const identity::AwsIdentity* who) {
  if (order.hostname.size() > kMaxTextBytes || order.version.size() > kMaxTextBytes) {
    return fail(ErrorCode::kInvalidArgument, "the host name or version is longer than {} bytes", kMaxTextBytes);
  }
  MEZ_TRY(NodeKeys keys, parse_keys(order.ssh_public_key, order.tls_public_key_spki));

  identity::Nodes& nodes = services.identity->nodes;
  identity::NameTaken when_taken = identity::NameTaken::kReplace;
  if (auto there = nodes.get(order.node_name); there && services.is_connected(there->id)) {
    when_taken = identity::NameTaken::kRefuse;
  }
  identity::NewNode node{.name = order.node_name, .hostname = order.hostname, .labels = order.labels};
  node.version = order.version;
  node.ssh_public_key = keys.ssh.to_text();
  node.tls_public_key_spki = keys.tls_spki;
  Result<identity::Joined> joined =
      who ? nodes.join_as(*who, order.token.substr(0, order.token.find('.')), node, when_taken)
          : nodes.join(order.token, node, when_taken);
  if (!joined) {
    MEZ_CHECK(reject_join(services, order, client_ip, joined.error(), who));
    return std::unexpected(joined.error());
  }
  if (joined->replaced_node_id) services.announce_node_removed(*joined->replaced_node_id);

  audit::Event used = audit::make_event(audit::EventKind::kTokenUsed, services.clock);
  used.client_ip = std::string(client_ip);
  used.resource_type = "token";
  used.resource_name = joined->token.id;
  used.server_id = joined->node.id;
  used.server_hostname = joined->node.name;
  audit::Event event = audit::make_event(audit::EventKind::kNodeJoined, services.clock);
  event.client_ip = std::string(client_ip);
  event.resource_type = "node";
  event.resource_name = joined->node.name;
  for (const auto& [key, value] : joined->node.labels) event.resource_labels[key] = value;
  event.server_id = joined->node.id;
  event.server_hostname = joined->node.name;
  event.details = audit::Details()
                      .add("token", joined->token.id)
                      .add("hostname", order.hostname)
                      .add("version", order.version)
                      .add("host_key", keys.ssh.fingerprint())
                      .add("replaced", joined->replaced_node_id.value_or(""))
                      .add("aws_account", who ? who->account : "")
                      .add("aws_arn", who ? who->arn : "")
                      .text();
  const audit::Event events[] = {used, event};
  if (auto stored = services.audit->append(events); !stored) {
    return fail(ErrorCode::kUnavailable, "the hub could not write its audit log: {}", stored.error().message);
  }
  MEZ_TRY(NodeCertificates certificates, issue(services, joined->node.id, joined->node.name, keys));
  return JoinedNode{joined->node.id, std::move(certificates)};
}

Result<NodeCertificates> renew_node(Services& services, const Caller& agent, std::string_view ssh_public_key,
                                    BytesView tls_public_key_spki) {
  MEZ_TRY(NodeKeys keys, parse_keys(ssh_public_key, tls_public_key_spki));
  MEZ_TRY(identity::Node node, services.identity->nodes.get_by_id(agent.name));
  std::string host_key = keys.ssh.to_text();
  MEZ_CHECK(services.identity->nodes.set_keys(node.id, host_key, keys.tls_spki));
  MEZ_TRY(NodeCertificates certificates, issue(services, node.id, node.name, keys));
  audit::Event event = event_by(services, agent, audit::EventKind::kNodeRenewed);
  event.resource_type = "node";
  event.resource_name = node.name;
  event.details = audit::Details()
                      .add("host_key", keys.ssh.fingerprint())
                      .add("host_key_changed", node.ssh_public_key != host_key)
                      .text();
  MEZ_CHECK(record(services, event));
  return certificates;
}

Result<DecisionBasis> decision_basis(Services& services) {
  DecisionBasis basis;
  // The revision first: what is read after it is as new as it says, or newer.
  MEZ_TRY(auto roles, services.identity->roles.current());
  basis.revision = roles->revision;
  basis.roles_json = roles->documents;
  MEZ_TRY(basis.locks, services.identity->locks.active());
  basis.revoked = services.revocations->current();
  return basis;
}

Status remove_node(Services& services, const Caller& caller, std::string_view name_or_id) {
  MEZ_TRY(identity::Node node, services.identity->nodes.get(name_or_id));
  MEZ_CHECK(services.identity->nodes.remove(node.id));
  services.announce_node_removed(node.id);
  audit::Event event = event_by(services, caller, audit::EventKind::kNodeRemoved);
  event.resource_type = "node";
  event.resource_name = node.name;
  event.server_id = node.id;
  event.server_hostname = node.name;
  return record(services, event);
}

}  // namespace mezite::auth
