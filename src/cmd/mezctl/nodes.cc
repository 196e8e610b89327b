// Nodes, and the tokens that they join with.
#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "access/labels.hh"
#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

using Json = nlohmann::ordered_json;

template <class Map>
std::string labels_of(const Map& labels) {
  return client::shown_labels(std::map<std::string, std::string>(labels.begin(), labels.end()));
}

std::string state_of(const v1::Token& token, SystemTime now) {
  if (token.used()) return "used";
  if (token.expires_at_ms() <= to_unix_millis(now)) return "expired";
  return token.join_method() == "iam" ? "good" : "unused";
}

// As the new node will call the hub.
std::string hub_name(const Context& context) {
  const auto hub = context.hub();
  if (hub && !hub->host.empty() && hub->host != "localhost" && !hub->host.starts_with("127.")) return hub->host;
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 && name[0] ? name : "HUB";
}

}  // namespace

Status tokens_create(Context& context, const TokenFlags& flags) {
  v1::CreateTokenRequest request;
  for (const std::string_view role : split(flags.roles, ',')) {
    if (!trim(role).empty()) request.add_roles(std::string(trim(role)));
  }
  const auto ttl = parse_duration(flags.ttl);
  if (!ttl) return fail(ErrorCode::kInvalidArgument, "--ttl: {}", ttl.error().message);
  // For the hub a zero is a ttl that was not given.
  if (ttl->count() == 0) {
    return fail(ErrorCode::kInvalidArgument, "--ttl: a token that is good for no time joins nothing: give --ttl=1h");
  }
  request.set_ttl_ms(ttl->count());
  const auto labels = access::parse_labels(flags.labels);
  if (!labels) return fail(ErrorCode::kInvalidArgument, "--labels: {}", labels.error().message);
  for (const auto& [key, value] : *labels) (*request.mutable_labels())[key] = value;
  request.set_join_method(flags.join_method);
  for (const std::string& account : flags.aws_accounts) request.add_aws_accounts(account);
  for (const std::string& arn : flags.aws_arns) request.add_aws_arns(arn);
  MEZ_TRY(const auto response, context.ask<v1::CreateTokenResponse>("CreateToken", request));
  if (context.format() != Format::kText) {
    Json json = client::message_to_json(response.token());
    json["token"] = response.secret();
    return context.print_json(json);
  }
  // In a pipe the token and nothing else.
  if (!client::is_terminal(STDOUT_FILENO)) return context.print(printable(response.secret()) + "\n");
  const std::string hub = hub_name(context);
  if (response.token().join_method() == "iam") {
    return context.print(
        fmt::format("{}\n\nNo secret; for every machine that AWS says is one of those listed, until {}. On each, as "
                    "root:\n\n"
                    "  MEZITE_AUTH_ADDR={}:3025 MEZITE_PROXY_ADDR={}:3024 MEZITE_JOIN_METHOD=iam MEZITE_JOIN_TOKEN={} "
                    "mezd\n",
                    printable(response.secret()), client::shown_time(response.token().expires_at_ms(), context.now()),
                    hub, hub, printable(response.secret())));
  }
  return context.print(
      fmt::format("{}\n\nShown this once; for one node, until {}. On the node, as root:\n\n"
                  "  MEZITE_AUTH_ADDR={}:3025 MEZITE_PROXY_ADDR={}:3024 MEZITE_JOIN_TOKEN={} mezd\n",
                  printable(response.secret()), client::shown_time(response.token().expires_at_ms(), context.now()),
                  hub, hub, printable(response.secret())));
}

Status tokens_list(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListTokensResponse>("ListTokens", v1::ListTokensRequest()));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["tokens"]);
  client::Table table({"ID", "METHOD", "ROLES", "LABELS", "STATE", "EXPIRES", "CREATED BY"});
  for (const v1::Token& token : response.tokens()) {
    table.add({token.id(), token.join_method(), join({token.roles().begin(), token.roles().end()}, ", "),
               labels_of(token.labels()), state_of(token, context.now()),
               client::shown_time(token.expires_at_ms(), context.now()), token.created_by()});
  }
  return context.print(table.text(context.colour()));
}

Status tokens_delete(Context& context, const std::string& id) {
  v1::NameRequest request;
  request.set_name(id);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteToken", request, response));
  return context.print(fmt::format("token {} removed\n", printable(id)));
}

Status nodes_list(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListNodesResponse>("ListNodes", v1::ListNodesRequest()));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["nodes"]);
  client::Table table({"NAME", "HOSTNAME", "LABELS", "VERSION", "ADDRESS", "CONNECTED", "LAST HEARTBEAT",
                       "HOST_CERT_SIGNER_FINGERPRINT"});
  for (const v1::Node& node : response.nodes()) {
    table.add({node.name(), node.hostname(), labels_of(node.labels()), node.version(), node.address(),
               node.connected() ? "yes" : "no", client::shown_time(node.last_heartbeat_ms(), context.now()),
               node.host_cert_signer_fingerprint()});
  }
  if (table.empty()) say("no nodes yet; 'mezctl tokens create --roles=node' makes the token that one joins with");
  return context.print(table.text(context.colour()));
}

Status nodes_get(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  MEZ_TRY(const auto node, context.ask<v1::Node>("GetNode", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(node));
  client::Fields fields;
  fields.add("name", node.name());
  fields.add("id", node.id());
  fields.add("hostname", node.hostname());
  fields.add("labels", labels_of(node.labels()));
  fields.add("version", node.version());
  fields.add("address", node.address());
  fields.add("connected", node.connected() ? "yes" : "no");
  fields.add("last heartbeat", client::shown_time(node.last_heartbeat_ms(), context.now()));
  fields.add("joined", client::shown_time(node.joined_at_ms(), context.now()));
  if (!node.enhanced_recording().empty()) fields.add("enhanced recording", node.enhanced_recording());
  fields.add("host_cert_signer_fingerprint", node.host_cert_signer_fingerprint());
  fields.add("host certificate expires", client::shown_time(node.host_cert_expires_at_ms(), context.now()));
  if (node.recordings_waiting() > 0 || node.recordings_set_aside() > 0) {
    fields.add("recordings not uploaded",
               fmt::format("{}, the oldest for {}; {} set aside; {} in the spool", node.recordings_waiting(),
                           format_duration(std::chrono::seconds(node.recordings_oldest_age_ms() / 1000)),
                           node.recordings_set_aside(), client::shown_bytes(node.recordings_waiting_bytes())));
  }
  return context.print(fields.text());
}

Status nodes_delete(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteNode", request, response));
  return context.print(fmt::format("node {} removed; it needs a new token to come back\n", printable(name)));
}

}  // namespace mezite::mezctl
