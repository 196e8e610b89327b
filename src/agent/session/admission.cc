#include "agent/session/admission.hh"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"

namespace mezite::agent {
namespace {

using audit::EventKind;
using nlohmann::json;

constexpr std::size_t kMaxRoles = 256;
constexpr std::size_t kMaxTraits = 256;

Denial refusal(EventKind kind, std::string reason, std::string explanation, std::string user_text = "access denied") {
  return {.kind = kind,
          .reason = std::move(reason),
          .explanation = std::move(explanation),
          .user_text = std::move(user_text)};
}

Denial certificate_refusal(const ssh::CertificateRefusal& refused) {
  using enum ssh::CertificateRefusalReason;
  std::string reason(ssh::certificate_refusal_name(refused.reason));
  switch (refused.reason) {
    case kExpired:
      return refusal(EventKind::kAccessDeniedExpired, reason, refused.message,
                     refused.message + "; run `msh login` for a new one");
    case kNotYetValid:
      return refusal(EventKind::kAccessDeniedNotYetValid, reason, refused.message,
                     refused.message + "; compare the clocks of this node and the hub");
    case kSourceAddress: return refusal(EventKind::kAccessDeniedSourceAddress, reason, refused.message);
    case kPrincipal: return refusal(EventKind::kAccessDeniedWrongPrincipal, reason, refused.message);
    case kUnknownCa: return refusal(EventKind::kAccessDeniedForeignCa, reason, refused.message);
    case kBadSignature:
    case kWrongType:
    case kCriticalOption: break;
  }
  return refusal(EventKind::kAccessDeniedCertificate, reason, refused.message);
}

// The JSON in an extension; a discarded value when it is not there or not JSON.
json extension_json(const ssh::Certificate& certificate, std::string_view name) {
  const Bytes* value = certificate.find_extension(name);
  if (!value) return json(json::value_t::discarded);
  Result<std::string> text = ssh::option_text(*value);
  if (!text) return json(json::value_t::discarded);
  return json::parse(*text, nullptr, false);
}

bool read_strings(const json& list, std::vector<std::string>& out, std::size_t limit) {
  if (!list.is_array() || list.size() > limit) return false;
  for (const json& item : list) {
    if (!item.is_string()) return false;
    out.push_back(item.get<std::string>());
  }
  return true;
}

bool read_traits(const json& object, access::Traits& out) {
  if (object.is_discarded()) return true;
  if (!object.is_object() || object.size() > kMaxTraits) return false;
  for (const auto& [name, values] : object.items()) {
    if (!read_strings(values, out[name], kMaxTraits)) return false;
  }
  return true;
}

const Lock* find_lock(const Snapshot& snapshot, const NodeFacts& node, const Principal& principal, SystemTime now) {
  for (const Lock& lock : snapshot.locks) {
    if (lock.expires_at <= now) continue;
    bool hit = false;
    switch (lock.kind) {
      case Lock::Kind::kUser: hit = lock.name == principal.user; break;
      case Lock::Kind::kRole:
        hit = std::find(principal.roles.begin(), principal.roles.end(), lock.name) != principal.roles.end();
        break;
      case Lock::Kind::kNode: hit = lock.name == node.node_name || lock.name == node.node_id; break;
      case Lock::Kind::kLogin: hit = lock.name == principal.login; break;
    }
    if (hit) return &lock;
  }
  return nullptr;
}

std::string_view kind_name(Lock::Kind kind) {
  switch (kind) {
    case Lock::Kind::kUser: return "user";
    case Lock::Kind::kRole: return "role";
    case Lock::Kind::kNode: return "node";
    case Lock::Kind::kLogin: return "login";
  }
  return "";
}

// Locks and roles; fills in the options.
std::optional<Denial> decide_for(Principal& principal, const Snapshot& snapshot, const NodeFacts& node,
                                 SystemTime now) {
  if (const Lock* lock = find_lock(snapshot, node, principal, now)) {
    std::string text = fmt::format("{} {} is locked", kind_name(lock->kind), printable(lock->name));
    if (!lock->message.empty()) text += ": " + printable(lock->message);
    return refusal(EventKind::kAccessDeniedLocked, fmt::format("{}_locked", kind_name(lock->kind)), text,
                   "access denied: locked");
  }
  access::RoleSet::Resolved resolved = snapshot.roles.resolve(principal.roles);
  access::Node target{node.node_name, node.labels};
  access::Decision decision = access::decide(resolved.roles, principal.user, principal.traits, target, principal.login);
  if (!decision.allowed) {
    bool login = decision.reason == access::Reason::kLoginDenied ||
                 decision.reason == access::Reason::kLoginNotAllowed ||
                 decision.reason == access::Reason::kMalformedLogin;
    Denial denial = refusal(login ? EventKind::kAccessDeniedLogin : EventKind::kAccessDeniedLabels,
                            std::string(access::to_text(decision.reason)), decision.summary);
    denial.steps = decision.steps;
    if (!resolved.missing.empty()) {
      denial.steps.push_back("roles of the certificate that are not there any more: " +
                             printable(join(resolved.missing, ", ")));
    }
    return denial;
  }
  // What this node can't do yet must not be skipped: a role that demands it lets nobody in.
  if (decision.options.require_session_mfa != access::SessionMfa::kOff) {
    return refusal(EventKind::kAccessDenied, "session_mfa_required",
                   "a role requires a second factor for each session, which this node does not ask for");
  }
  if (decision.options.require_moderators != 0) {
    return refusal(EventKind::kAccessDenied, "moderators_required",
                   "a role requires moderators, which this node has no sessions with");
  }
  principal.options = decision.options;
  return std::nullopt;
}

ssh::Restrictions restrictions_of(const ssh::Certificate& certificate, const access::SessionOptions& options) {
  auto permits = [&](std::string_view name) { return certificate.find_extension(name) != nullptr; };
  ssh::Restrictions restrictions;
  restrictions.pty = permits("permit-pty");
  restrictions.port_forwarding = permits("permit-port-forwarding") && options.port_forwarding;
  restrictions.agent_forwarding = permits("permit-agent-forwarding") && options.agent_forwarding;
  restrictions.x11_forwarding = permits("permit-X11-forwarding") && options.x11_forwarding;
  restrictions.user_rc = permits("permit-user-rc");
  if (const Bytes* value = certificate.find_critical_option("force-command")) {
    restrictions.force_commands.push_back(ssh::option_text(*value).value_or("false"));
  }
  if (const Bytes* value = certificate.find_critical_option("source-address")) {
    restrictions.source_addresses.push_back(ssh::option_text(*value).value_or(""));
  }
  return restrictions;
}

SystemTime expiry_of(const ssh::Certificate& certificate) {
  constexpr std::uint64_t kFarSeconds = std::uint64_t{1} << 33;  // the year 2242
  if (certificate.valid_before() >= kFarSeconds) return SystemTime::max();
  return from_unix_seconds(static_cast<std::int64_t>(certificate.valid_before()));
}

std::optional<Denial> admit_into(Principal& principal, const AdmissionRequest& request, const Snapshot& snapshot,
                                 const NodeFacts& node, ssh::SignatureCache* cache) {
  if (snapshot.revision == 0) {
    return refusal(EventKind::kAccessDenied, "no_snapshot", "the agent has no roles and keys from the hub yet",
                   "access denied: the node is not ready; try again in a moment");
  }
  auto verified = ssh::verify_certificate(request.certificate, {.type = ssh::CertificateType::kUser,
                                                                .trusted_cas = snapshot.user_cas,
                                                                .now = request.now,
                                                                .principal = request.login,
                                                                .source_address = request.client_ip,
                                                                .cache = cache});
  if (!verified) return certificate_refusal(verified.error());
  if (snapshot.revoked_serials.contains(request.certificate.serial()) ||
      snapshot.revoked_key_ids.contains(request.certificate.key_id())) {
    return refusal(EventKind::kAccessDeniedRevoked, "revoked",
                   fmt::format("the certificate of {} with serial number {} was revoked",
                               printable(request.certificate.key_id()), request.certificate.serial()),
                   "access denied: this certificate was revoked; run `msh login` for a new one");
  }
  if (principal.user.empty() || printable(principal.user) != principal.user) {
    return refusal(EventKind::kAccessDeniedCertificate, "key_id", "the certificate's key id is no user name");
  }
  json roles = extension_json(request.certificate, "roles@mezite.com");
  if (!read_strings(roles, principal.roles, kMaxRoles)) {
    principal.roles.clear();
    return refusal(EventKind::kAccessDeniedCertificate, "roles_extension",
                   "the certificate's roles@mezite.com is missing or not a list of names");
  }
  if (!read_traits(extension_json(request.certificate, "traits@mezite.com"), principal.traits)) {
    return refusal(EventKind::kAccessDeniedCertificate, "traits_extension",
                   "the certificate's traits@mezite.com is not a map of lists");
  }
  if (std::optional<Denial> denial = decide_for(principal, snapshot, node, request.now)) return denial;
  principal.restrictions = restrictions_of(request.certificate, principal.options);
  principal.valid_before = expiry_of(request.certificate);
  return std::nullopt;
}

}  // namespace

Admission admit(const AdmissionRequest& request, const Snapshot& snapshot, const NodeFacts& node,
                ssh::SignatureCache* cache) {
  Principal principal{.user = request.certificate.key_id(), .login = std::string(request.login)};
  std::optional<Denial> denial = admit_into(principal, request, snapshot, node, cache);
  if (!denial) return {.principal = std::move(principal), .denial = {}};
  denial->user = principal.user;
  denial->roles = principal.roles;
  return {.principal = std::nullopt, .denial = std::move(*denial)};
}

Reconsidered reconsider(const Principal& principal, const Snapshot& snapshot, const NodeFacts& node, SystemTime now) {
  Reconsidered again{.denial = std::nullopt, .principal = principal};
  again.denial = decide_for(again.principal, snapshot, node, now);
  if (again.denial) {
    again.denial->user = principal.user;
    again.denial->roles = principal.roles;
    return again;
  }
  const access::SessionOptions& options = again.principal.options;
  ssh::Restrictions& allowed = again.principal.restrictions;
  allowed.port_forwarding &= options.port_forwarding;
  allowed.agent_forwarding &= options.agent_forwarding;
  allowed.x11_forwarding &= options.x11_forwarding;
  return again;
}

}  // namespace mezite::agent
