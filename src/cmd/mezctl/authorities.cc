// The certificate authorities.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

// A new key in a KMS takes its time.
constexpr std::chrono::minutes kStepTimeout{3};

std::string names_of(const google::protobuf::RepeatedPtrField<std::string>& names) {
  return printable(join({names.begin(), names.end()}, ", "));
}

std::string text_of(const v1::KmsKey& key) { return printable(fmt::format("{} (key {})", key.alias(), key.key_id())); }

std::string text_of(const v1::RetiredKmsKey& key, SystemTime now) {
  const std::string what = key.deleted_at_ms() != 0 ? "deleted " + client::shown_time(key.deleted_at_ms(), now)
                           : key.problem().empty()  ? "deletion not asked for yet"
                                                    : "stays in KMS: " + printable(key.problem());
  return fmt::format("{}, {}", text_of(key.key()), what);
}

std::string text_of(const v1::CaStatus& ca, SystemTime now) {
  client::Fields fields;
  fields.add("type", ca.type());
  fields.add("rotation_phase", ca.rotation_phase());
  fields.add("rotation_state", ca.rotation_state());
  fields.add("active key", ca.active_fingerprint());
  fields.add("standby key", ca.standby_fingerprint().empty() ? "none" : ca.standby_fingerprint());
  if (ca.has_active_kms()) fields.add("active key in KMS", text_of(ca.active_kms()));
  if (ca.has_standby_kms()) fields.add("standby key in KMS", text_of(ca.standby_kms()));
  fields.add("expires", client::shown_time(ca.expires_at_ms(), now));
  if (!ca.pin().empty()) fields.add("pin (--ca-pin)", ca.pin());
  if (!ca.lagging_nodes().empty()) fields.add("nodes not caught up", names_of(ca.lagging_nodes()));
  if (!ca.cut_off_nodes().empty()) fields.add("cut off by an advance", names_of(ca.cut_off_nodes()));
  for (const v1::RetiredKmsKey& key : ca.retired_kms()) fields.add("retired key in KMS", text_of(key, now));
  return fields.text();
}

// What to do next, for a person.
std::string next_step(const v1::CaStatus& ca) {
  const std::string& phase = ca.rotation_phase();
  if (ca.rotation_state() == "standby") return {};
  std::string waiting =
      ca.lagging_nodes().empty()
          ? "every node has caught up"
          : fmt::format("{} nodes have not caught up yet (mezctl ca status names them)", ca.lagging_nodes_size());
  std::string what = ca.rotation_state() == "rollback" ? "ends the rollback: the new key is deleted"
                     : phase == "update_clients"       ? "lets the new key sign"
                                                       : "deletes the old key, which can't be undone";
  return fmt::format("{}; mezctl ca advance --type={} {}", waiting, ca.type(), what);
}

template <class Response>
Status show_revocations(Context& context, const Response& response) {
  if (context.format() != Format::kText) {
    return context.print_json(client::message_to_json(response)["revocations"]);
  }
  client::Table table({"ID", "KIND", "VALUE", "USER", "REASON", "BY", "UNTIL"});
  for (const v1::Revocation& one : response.revocations()) {
    table.add({one.id(), one.kind(), one.value(), one.user(), one.reason(), one.created_by(),
               one.expires_at_ms() == 0 ? "for ever" : client::shown_time(one.expires_at_ms(), context.now())});
  }
  return context.print(table.text(context.colour()));
}

Status step(Context& context, const char* method, const CaStepFlags& flags) {
  v1::CaStepRequest request;
  request.set_type(flags.type);
  request.set_force(flags.force);
  MEZ_TRY(const auto ca, context.ask<v1::CaStatus>(method, request, kStepTimeout));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(ca));
  MEZ_CHECK(context.print(text_of(ca, context.now())));
  if (const std::string next = next_step(ca); !next.empty()) say(next);
  return {};
}

}  // namespace

Status ca_status(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::GetCaStatusResponse>("GetCaStatus", v1::GetCaStatusRequest()));
  for (const std::string& warning : response.warnings()) say("warning: " + printable(warning));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["authorities"]);
  std::string text;
  for (const v1::CaStatus& ca : response.authorities()) text += (text.empty() ? "" : "\n") + text_of(ca, context.now());
  return context.print(text);
}

Status ca_rotate(Context& context, const CaStepFlags& flags) { return step(context, "RotateCa", flags); }
Status ca_advance(Context& context, const CaStepFlags& flags) { return step(context, "AdvanceCa", flags); }
Status ca_rollback(Context& context, const CaStepFlags& flags) { return step(context, "RollbackCa", flags); }

Status ca_revoke(Context& context, const RevokeFlags& flags) {
  v1::RevokeCertificatesRequest request;
  request.set_serial(flags.serial);
  request.set_key_id(flags.key_id);
  request.set_user(flags.user);
  request.set_reason(flags.reason);
  MEZ_TRY(const auto response, context.ask<v1::RevokeCertificatesResponse>("RevokeCertificates", request));
  if (response.revocations().empty()) say("revoked already: nothing has changed");
  return show_revocations(context, response);
}

Status ca_revocations(Context& context) {
  MEZ_TRY(const auto response,
          context.ask<v1::ListRevocationsResponse>("ListRevocations", v1::ListRevocationsRequest()));
  return show_revocations(context, response);
}

Status ca_unrevoke(Context& context, const std::string& id) {
  v1::NameRequest request;
  request.set_name(id);
  v1::Empty response;
  return context.call("DeleteRevocation", request, response);
}

Status ca_export(Context& context, const ExportFlags& flags) {
  v1::ExportCaRequest request;
  request.set_type(flags.type);
  request.set_format(flags.format);
  MEZ_TRY(const auto response, context.ask<v1::ExportCaResponse>("ExportCa", request));
  if (flags.format == "krl") {
    if (client::is_terminal(STDOUT_FILENO)) {
      return fail(ErrorCode::kInvalidArgument, "a revocation list is no text: redirect it to a file");
    }
    return context.print(response.data());
  }
  return context.print(response.text().ends_with('\n') ? response.text() : response.text() + "\n");
}

}  // namespace mezite::mezctl
