#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "access/role.hh"
#include "base/file.hh"
#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/document.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> read_document(const std::string& file) {
  if (file != "-") {
    auto content = read_file(file, access::kMaxRoleDocumentBytes);
    if (!content) return wrap(content.error(), fmt::format("--from-file={}", file));
    return to_text(*content);
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (got == 0) return text;
    if (got < 0) return fail_errno(errno, "reading the role from standard input");
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > access::kMaxRoleDocumentBytes) {
      return fail(ErrorCode::kInvalidArgument, "the role has over {} bytes", access::kMaxRoleDocumentBytes);
    }
  }
}

}  // namespace

Status roles_create(Context& context, const std::string& file) {
  MEZ_TRY(const std::string document, read_document(file));
  // Parsed here, too: the error comes with the file's name and without a hub.
  if (auto role = access::parse_role(document); !role) return wrap(role.error(), file == "-" ? "standard input" : file);
  v1::UpsertRoleRequest request;
  request.set_document(document);
  MEZ_TRY(const auto response, context.ask<v1::UpsertRoleResponse>("UpsertRole", request));
  if (context.format() != Format::kText) {
    Json json = client::message_to_json(response.role());
    json["created"] = response.created();
    return context.print_json(json);
  }
  return context.print(
      fmt::format("role {} {}\n", printable(response.role().name()), response.created() ? "created" : "updated"));
}

Status roles_list(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListRolesResponse>("ListRoles", v1::ListRolesRequest()));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["roles"]);
  client::Table table({"NAME", "BUILT IN", "DESCRIPTION"});
  for (const v1::Role& role : response.roles()) {
    table.add({role.name(), role.built_in() ? "yes" : "", role.description()});
  }
  return context.print(table.text(context.colour()));
}

Status roles_get(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  MEZ_TRY(const auto role, context.ask<v1::Role>("GetRole", request));
  const Json document = Json::parse(role.document_json(), nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::kProtocol, "the hub gave a role that is not JSON");
  // What comes out goes in again: roles get X >f; edit f; roles create --from-file=f.
  if (context.format() == Format::kText) return context.print(client::json_to_yaml(document));
  return context.print_json(document);
}

Status roles_delete(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteRole", request, response));
  return context.print(fmt::format("role {} deleted\n", printable(name)));
}

Status roles_explain(Context& context, const ExplainFlags& flags) {
  v1::ExplainAccessRequest request;
  request.set_user(flags.user);
  request.set_node(flags.node);
  request.set_login(flags.login);
  MEZ_TRY(const auto response, context.ask<v1::ExplainAccessResponse>("ExplainAccess", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response));
  std::string text = fmt::format("{}: {}\n", response.allowed() ? "ALLOWED" : "DENIED", printable(response.summary()));
  for (const std::string& step : response.steps()) text += fmt::format("  {}\n", printable(step));
  std::vector<std::string> logins(response.allowed_logins().begin(), response.allowed_logins().end());
  text += fmt::format("logins of {} on {}: {}\n", printable(flags.user), printable(flags.node),
                      logins.empty() ? "none" : printable(join(logins, ", ")));
  return context.print(text);
}

}  // namespace mezite::mezctl
