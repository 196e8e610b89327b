// Workload identities: who may have which SPIFFE ID, and SVIDs by hand.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/file.hh"
#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "crypto/signing_key.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

using Json = nlohmann::ordered_json;

template <class List>
std::string joined(const List& list) {
  return join({list.begin(), list.end()}, ", ");
}

Result<std::int64_t> seconds_of(const std::string& text, std::string_view flag) {
  if (text.empty()) return 0;
  const auto duration = parse_duration(text);
  if (!duration) return fail(ErrorCode::kInvalidArgument, "{}: {}", flag, duration.error().message);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*duration);
  if (seconds.count() == 0 || seconds != *duration) {
    return fail(ErrorCode::kInvalidArgument, "{}: '{}' is not a number of whole seconds, as in 1h or 90s", flag,
                printable(text));
  }
  return seconds.count();
}

std::vector<std::string> pieces_of(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  for (const std::string& text : given) {
    for (const std::string_view piece : split(text, ',')) {
      if (!trim(piece).empty()) out.emplace_back(trim(piece));
    }
  }
  return out;
}

Json json_of(const v1::WorkloadIdentity& identity) { return client::message_to_json(identity); }

Status show(Context& context, const v1::WorkloadIdentity& identity) {
  if (context.format() != Format::kText) return context.print_json(json_of(identity));
  client::Fields fields;
  fields.add("id", identity.id());
  fields.add("SPIFFE ID", identity.spiffe_id());
  fields.add("selectors", joined(identity.selectors()));
  fields.add("X509-SVIDs live", format_duration(std::chrono::seconds(identity.x509_ttl_seconds())));
  fields.add("JWT-SVIDs live", format_duration(std::chrono::seconds(identity.jwt_ttl_seconds())));
  fields.add("DNS names", identity.dns_names().empty() ? "none" : joined(identity.dns_names()));
  fields.add("JWT audiences", identity.jwt_audiences().empty() ? "any" : joined(identity.jwt_audiences()));
  if (!identity.hint().empty()) fields.add("hint", identity.hint());
  fields.add("created by", identity.created_by());
  fields.add("created", client::shown_time(identity.created_at_ms(), context.now()));
  return context.print(fields.text());
}

Status issue_x509(Context& context, const SvidFlags& flags) {
  MEZ_TRY(const auto key, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256));
  MEZ_TRY(const Secret pem, key.to_pem());
  v1::IssueX509SvidRequest request;
  request.set_name(flags.name);
  request.set_public_key_der(to_text(key.public_key().spki()));
  MEZ_TRY(const auto response, context.ask<v1::IssueX509SvidResponse>("IssueX509Svid", request));
  MEZ_CHECK(write_file(flags.output + ".key", pem.view(), 0600));
  MEZ_CHECK(write_file(flags.output + ".crt", as_bytes(response.certificate_pem()), 0644));
  MEZ_CHECK(write_file(flags.output + "-bundle.crt", as_bytes(response.bundle_pem()), 0644));
  if (context.format() != Format::kText) {
    Json json = client::message_to_json(response);
    json["key_file"] = flags.output + ".key";
    json["certificate_file"] = flags.output + ".crt";
    json["bundle_file"] = flags.output + "-bundle.crt";
    return context.print_json(json);
  }
  client::Fields fields;
  fields.add("SPIFFE ID", response.spiffe_id());
  fields.add("key", flags.output + ".key");
  fields.add("certificate", flags.output + ".crt");
  fields.add("trust bundle", flags.output + "-bundle.crt");
  fields.add("expires", client::shown_time(response.expires_at_ms(), context.now()));
  return context.print(fields.text());
}

Status issue_jwt(Context& context, const SvidFlags& flags) {
  v1::IssueJwtSvidRequest request;
  request.set_name(flags.name);
  for (const std::string& audience : pieces_of(flags.audiences)) request.add_audiences(audience);
  MEZ_TRY(const auto response, context.ask<v1::IssueJwtSvidResponse>("IssueJwtSvid", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response));
  if (client::is_terminal(STDOUT_FILENO)) {
    say("good until " + client::shown_time(response.expires_at_ms(), context.now()) + ":");
  }
  return context.print(response.token() + "\n");
}

}  // namespace

Status workloads_create(Context& context, const WorkloadFlags& flags) {
  v1::CreateWorkloadIdentityRequest request;
  request.set_spiffe_id(flags.spiffe_id);
  for (const std::string& selector : flags.selectors) request.add_selectors(selector);
  MEZ_TRY(const std::int64_t x509_ttl, seconds_of(flags.x509_ttl, "--x509-ttl"));
  MEZ_TRY(const std::int64_t jwt_ttl, seconds_of(flags.jwt_ttl, "--jwt-ttl"));
  request.set_x509_ttl_seconds(x509_ttl);
  request.set_jwt_ttl_seconds(jwt_ttl);
  for (const std::string& name : pieces_of(flags.dns_names)) request.add_dns_names(name);
  for (const std::string& audience : pieces_of(flags.audiences)) request.add_jwt_audiences(audience);
  request.set_hint(flags.hint);
  MEZ_TRY(const auto made, context.ask<v1::WorkloadIdentity>("CreateWorkloadIdentity", request));
  return show(context, made);
}

Status workloads_list(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListWorkloadIdentitiesResponse>("ListWorkloadIdentities",
                                                                               v1::ListWorkloadIdentitiesRequest()));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["identities"]);
  client::Table table({"ID", "SPIFFE ID", "SELECTORS", "X509 TTL", "JWT TTL", "CREATED BY"});
  for (const v1::WorkloadIdentity& one : response.identities()) {
    table.add({one.id(), one.spiffe_id(), joined(one.selectors()),
               format_duration(std::chrono::seconds(one.x509_ttl_seconds())),
               format_duration(std::chrono::seconds(one.jwt_ttl_seconds())), one.created_by()});
  }
  if (table.empty()) say("no workload identities yet; 'mezctl workload-identity create --help' shows how");
  return context.print(table.text(context.colour()));
}

Status workloads_get(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  MEZ_TRY(const auto identity, context.ask<v1::WorkloadIdentity>("GetWorkloadIdentity", request));
  return show(context, identity);
}

Status workloads_delete(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteWorkloadIdentity", request, response));
  return context.print(
      fmt::format("workload identity {} removed; SVIDs that are out end by themselves\n", printable(name)));
}

Status workloads_issue(Context& context, const SvidFlags& flags) {
  return flags.output.empty() ? issue_jwt(context, flags) : issue_x509(context, flags);
}

}  // namespace mezite::mezctl
