#include "identity/nodes.hh"

#include <algorithm>

#include "base/ascii.hh"
#include "base/id.hh"
#include "base/text.hh"
#include "identity/columns.hh"
#include "identity/names.hh"
#include "store/collect.hh"

namespace mezite::identity {

namespace {

constexpr std::string_view kColumns =
    "SELECT id, name, hostname, labels, token_labels, version, ssh_public_key, host_cert_signer_fingerprint,"
    " host_cert_expires_at, joined_at, last_heartbeat, ca_report, enhanced_recording,"
    " joined_as FROM nodes ";

std::unexpected<Error> no_node(std::string_view name) {
  return fail(ErrorCode::kNotFound, "there is no node '{}': mezctl nodes ls shows them", printable(name.substr(0, 80)));
}

Node read_row(const store::Rows& rows) {
  Node node{.id = rows.text(0),
            .name = rows.text(1),
            .hostname = rows.text(2),
            .labels = labels_from_json(rows.text(4)),
            .version = rows.text(5),
            .ssh_public_key = rows.text(6),
            .host_cert_signer_fingerprint = rows.text(7),
            .host_cert_expires_at = rows.optional_time(8),
            .joined_at = rows.time(9),
            .last_heartbeat = rows.optional_time(10),
            .ca_report = rows.text(11),
            .enhanced_recording = rows.text(12),
            .joined_as = rows.text(13)};
  node.labels.merge(labels_from_json(rows.text(3)));  // those of the token stay
  return node;
}

Result<Node> load(store::Session& session, const std::string& condition, std::string_view value) {
  MEZ_TRY(auto rows, session.query(std::string(kColumns) + condition, {value}));
  MEZ_TRY(bool found, rows.next());
  if (!found) return no_node(value);
  return read_row(rows);
}

Result<Node> load_by_name_or_id(store::Session& session, std::string_view name_or_id) {
  auto by_id = load(session, "WHERE id = ?1", name_or_id);
  if (by_id || by_id.error().code != ErrorCode::kNotFound) return by_id;
  return load(session, "WHERE lower(name) = lower(?1)", name_or_id);
}

// What an agent says of itself ends up in tables and logs.
bool is_plain(std::string_view text, std::size_t max_bytes) {
  return text.size() <= max_bytes && is_valid_utf8(text) && printable(text) == text;
}

bool is_plain_hostname(std::string_view text) { return is_plain(text, 253); }
bool is_plain_version(std::string_view text) { return is_plain(text, 64); }

Status check_new_node(const NewNode& node) {
  MEZ_CHECK(check_node_name(node.name));
  if (!is_plain_hostname(node.hostname)) {
    return fail(ErrorCode::kInvalidArgument, "the host name is over 253 bytes or not printable");
  }
  if (!is_plain_version(node.version)) {
    return fail(ErrorCode::kInvalidArgument, "the version is over 64 bytes or not printable");
  }
  if (node.ssh_public_key.size() > 8192 || node.tls_public_key_spki.size() > 8192) {
    return fail(ErrorCode::kInvalidArgument, "a public key is too long");
  }
  return access::check_labels(node.labels);
}

}  // namespace

void Nodes::set_reserved_names(std::string cluster_name, std::vector<std::string> hub_names) {
  cluster_name_ = lower(cluster_name);
  reserved_.clear();
  for (const std::string& name : hub_names) reserved_.push_back(lower(name));
}

Status Nodes::check(const NewNode& node) const {
  MEZ_CHECK(check_new_node(node));
  std::string folded = lower(node.name);
  if (!cluster_name_.empty() && (folded == cluster_name_ || folded.ends_with("." + cluster_name_))) {
    return fail(ErrorCode::kInvalidArgument, "'{}' can't be a node name: leave out the cluster's name ({})", node.name,
                cluster_name_);
  }
  if (std::ranges::find(reserved_, folded) != reserved_.end()) {
    return fail(ErrorCode::kInvalidArgument, "'{}' can't be a node name: it is the hub's; set MEZITE_NODE_NAME",
                node.name);
  }
  return {};
}

Result<Joined> Nodes::take_in(store::Session& transaction, JoinToken token, const NewNode& node, NameTaken when_taken,
                              std::string_view joined_as) {
  Joined joined;
  joined.token = std::move(token);
  auto taken = load(transaction, "WHERE lower(name) = lower(?1)", node.name);
  if (!taken && taken.error().code != ErrorCode::kNotFound) return std::unexpected(taken.error());
  if (taken) {
    if (when_taken == NameTaken::kRefuse) {
      return fail(
          ErrorCode::kAlreadyExists,
          "a node named {0} is there and connected: set another MEZITE_NODE_NAME, or remove it with mezctl nodes "
          "rm {0}",
          taken->name);
    }
    if (!joined_as.empty() && taken->joined_as != joined_as) {
      return fail(ErrorCode::kAlreadyExists,
                  "a node named {0} is there, and joined as {1}: set another MEZITE_NODE_NAME, or remove it with "
                  "mezctl nodes rm {0}",
                  taken->name, taken->joined_as.empty() ? std::string("nobody that AWS knows") : taken->joined_as);
    }
    joined.replaced_node_id = taken->id;
    MEZ_CHECK(transaction.execute("DELETE FROM nodes WHERE id = ?1", {taken->id}));
  }
  std::string id = new_uuid();
  MEZ_CHECK(transaction.execute(
      "INSERT INTO nodes (id, name, hostname, labels, token_labels, version, ssh_public_key, tls_public_key, joined_at,"
      " joined_as) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
      {id, node.name, node.hostname, labels_to_json(node.labels), labels_to_json(joined.token.labels), node.version,
       node.ssh_public_key, node.tls_public_key_spki, clock_.now(), joined_as}));
  MEZ_TRY(joined.node, load(transaction, "WHERE id = ?1", id));
  return joined;
}

Result<Joined> Nodes::join(std::string_view token, const NewNode& node, NameTaken when_taken) {
  MEZ_CHECK(check(node));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(JoinToken consumed, tokens_.consume(transaction, token, node.name));
  MEZ_TRY(Joined joined, take_in(transaction, std::move(consumed), node, when_taken, ""));
  MEZ_CHECK(transaction.commit());
  return joined;
}

Result<Joined> Nodes::join_as(const AwsIdentity& who, std::string_view token_id, const NewNode& node,
                              NameTaken when_taken) {
  MEZ_CHECK(check(node));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(JoinToken token, tokens_.find_iam(transaction, token_id));
  MEZ_CHECK(check_aws_identity(token, who));
  MEZ_TRY(Joined joined, take_in(transaction, std::move(token), node, when_taken, who.arn));
  MEZ_CHECK(transaction.commit());
  return joined;
}

Result<std::vector<Node>> Nodes::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  static const std::string sql = std::string(kColumns) + "ORDER BY lower(name)";
  MEZ_TRY(auto rows, reader.query(sql));
  return store::collect(std::move(rows), read_row);
}

Result<Node> Nodes::get(std::string_view name_or_id) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return load_by_name_or_id(reader, name_or_id);
}

Result<Node> Nodes::get_by_id(std::string_view id) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return load(reader, "WHERE id = ?1", id);
}

Status Nodes::remove(std::string_view name_or_id) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(Node node, load_by_name_or_id(transaction, name_or_id));
  MEZ_CHECK(transaction.execute("DELETE FROM nodes WHERE id = ?1", {node.id}));
  return transaction.commit();
}

Status Nodes::set_certificate(std::string_view id, std::string_view signer_fingerprint, SystemTime expires_at) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(
      std::int64_t changed,
      transaction.execute("UPDATE nodes SET host_cert_signer_fingerprint = ?2, host_cert_expires_at = ?3 WHERE id = ?1",
                          {id, signer_fingerprint, expires_at}));
  if (changed == 0) return no_node(id);
  return transaction.commit();
}

Status Nodes::set_keys(std::string_view id, std::string_view ssh_public_key, BytesView tls_public_key_spki) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t changed,
          transaction.execute("UPDATE nodes SET ssh_public_key = ?2, tls_public_key = ?3 WHERE id = ?1",
                              {id, ssh_public_key, tls_public_key_spki}));
  if (changed == 0) return no_node(id);
  return transaction.commit();
}

Status Nodes::report(std::span<const NodeReport> reports) {
  if (reports.empty()) return {};
  MEZ_TRY(auto transaction, database_.begin());
  for (const NodeReport& report : reports) {
    std::optional<std::string> labels, hostname, version, enhanced;
    if (report.labels && access::check_labels(*report.labels)) labels = labels_to_json(*report.labels);
    if (report.hostname && is_plain_hostname(*report.hostname)) hostname = report.hostname;
    if (report.version && is_plain_version(*report.version)) version = report.version;
    if (report.enhanced_recording && is_plain(*report.enhanced_recording, 512)) enhanced = report.enhanced_recording;
    MEZ_CHECK(
        transaction.execute("UPDATE nodes SET last_heartbeat = max(coalesce(last_heartbeat, 0), ?2),"
                            " hostname = coalesce(?3, hostname), version = coalesce(?4, version),"
                            " labels = coalesce(?5, labels), ca_report = coalesce(?6, ca_report),"
                            " host_cert_signer_fingerprint = coalesce(?7, host_cert_signer_fingerprint),"
                            " enhanced_recording = coalesce(?8, enhanced_recording)"
                            " WHERE id = ?1",
                            {report.node_id, report.at, hostname, version, labels, report.ca_report,
                             report.host_cert_signer_fingerprint, enhanced}));
  }
  return transaction.commit();
}

}  // namespace mezite::identity
