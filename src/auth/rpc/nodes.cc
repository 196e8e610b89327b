#include "auth/record.hh"
#include "auth/rpc/handlers.hh"
#include "auth/use/node.hh"
#include "base/text.hh"

namespace mezite::auth::rpc {
namespace {

constexpr std::chrono::hours kDefaultTokenTtl{1};

std::int64_t millis(const std::optional<SystemTime>& time) { return time ? to_unix_millis(*time) : 0; }

template <class Map>
void put_labels(const access::Labels& labels, Map& out) {
  for (const auto& [key, value] : labels) out[key] = value;
}

void put(const identity::JoinToken& token, v1::Token& out) {
  out.set_id(token.id);
  for (const std::string& role : token.roles) out.add_roles(role);
  put_labels(token.labels, *out.mutable_labels());
  out.set_created_at_ms(to_unix_millis(token.created_at));
  out.set_expires_at_ms(to_unix_millis(token.expires_at));
  out.set_created_by(token.created_by);
  out.set_used(token.used);
  out.set_join_method(std::string(identity::to_text(token.method)));
  for (const std::string& account : token.aws_accounts) out.add_aws_accounts(account);
  for (const std::string& arn : token.aws_arns) out.add_aws_arns(arn);
}

void put(const Services& services, const identity::Node& node, v1::Node& out) {
  out.set_id(node.id);
  out.set_name(node.name);
  out.set_hostname(node.hostname);
  put_labels(node.labels, *out.mutable_labels());
  out.set_version(node.version);
  out.set_address("tunnel");
  out.set_connected(services.is_connected(node.id));
  out.set_last_heartbeat_ms(millis(node.last_heartbeat));
  out.set_host_cert_signer_fingerprint(node.host_cert_signer_fingerprint);
  out.set_host_cert_expires_at_ms(millis(node.host_cert_expires_at));
  out.set_joined_at_ms(to_unix_millis(node.joined_at));
  out.set_enhanced_recording(node.enhanced_recording);
  if (const auto backlog = services.backlogs.get(node.id)) {
    out.set_recordings_waiting(backlog->files);
    out.set_recordings_waiting_bytes(backlog->bytes);
    out.set_recordings_oldest_age_ms(backlog->oldest_age_ms);
    out.set_recordings_set_aside(backlog->set_aside);
  }
}

}  // namespace

Status create_token(Services& services, const Call& call, const v1::CreateTokenRequest& request,
                    v1::CreateTokenResponse& response) {
  identity::NewJoinToken token;
  token.roles.assign(request.roles().begin(), request.roles().end());
  if (token.roles.empty()) token.roles = {"node"};
  for (const std::string& role : token.roles) {
    if (role != "node") return fail(ErrorCode::kInvalidArgument, "a join token has the role node; use --roles=node");
  }
  if (request.join_method() == "iam") {
    token.method = identity::JoinMethod::kIam;
  } else if (!request.join_method().empty() && request.join_method() != "token") {
    return fail(ErrorCode::kInvalidArgument, "--join-method is token or iam, not '{}'",
                printable(request.join_method().substr(0, 80)));
  }
  token.aws_accounts.assign(request.aws_accounts().begin(), request.aws_accounts().end());
  token.aws_arns.assign(request.aws_arns().begin(), request.aws_arns().end());
  token.ttl =
      request.ttl_ms() == 0 ? std::chrono::milliseconds(kDefaultTokenTtl) : std::chrono::milliseconds(request.ttl_ms());
  for (const auto& [key, value] : request.labels()) token.labels[key] = value;
  MEZ_CHECK(access::check_labels(token.labels));
  token.created_by = call.caller.name;
  MEZ_TRY(identity::CreatedJoinToken created, services.identity->join_tokens.create(token));
  audit::Event event = event_by(services, call.caller, audit::EventKind::kTokenCreated);
  event.resource_type = "token";
  event.resource_name = created.token.id;
  event.details = audit::Details()
                      .add("expires_at", to_rfc3339(created.token.expires_at))
                      .add("join_method", identity::to_text(token.method))
                      .add("aws_accounts", join(token.aws_accounts, ", "))
                      .add("aws_arns", join(token.aws_arns, ", "))
                      .text();
  MEZ_CHECK(record(services, event));
  put(created.token, *response.mutable_token());
  response.set_secret(created.secret + "." + services.authority->host_ca_pin());
  wipe(created.secret);
  return {};
}

Status list_tokens(Services& services, const Call&, const v1::ListTokensRequest&, v1::ListTokensResponse& response) {
  MEZ_TRY(std::vector<identity::JoinToken> tokens, services.identity->join_tokens.list());
  for (const identity::JoinToken& token : tokens) put(token, *response.add_tokens());
  return {};
}

Status delete_token(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  MEZ_CHECK(services.identity->join_tokens.remove(request.name()));
  audit::Event event = event_by(services, call.caller, audit::EventKind::kTokenDeleted);
  event.resource_type = "token";
  event.resource_name = request.name();
  return record(services, event);
}

Status list_nodes(Services& services, const Call&, const v1::ListNodesRequest&, v1::ListNodesResponse& response) {
  MEZ_TRY(std::vector<identity::Node> nodes, services.identity->nodes.list());
  for (const identity::Node& node : nodes) put(services, node, *response.add_nodes());
  return {};
}

Status get_node(Services& services, const Call&, const v1::NameRequest& request, v1::Node& response) {
  MEZ_TRY(identity::Node node, services.identity->nodes.get(request.name()));
  put(services, node, response);
  return {};
}

Status delete_node(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  return remove_node(services, call.caller, request.name());
}

}  // namespace mezite::auth::rpc
