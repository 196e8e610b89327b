#include "access/role.hh"

#include <algorithm>

#include "base/clock.hh"
#include "base/text.hh"

namespace mezite::access {
namespace {

template <class T>
void take_min(std::optional<T>& merged, const std::optional<T>& value) {
  if (value) merged = merged ? std::min(*merged, *value) : *value;
}
// Zero means no limit.
template <class T>
void take_min_limit(std::optional<T>& merged, const std::optional<T>& value) {
  if (value && *value != T{}) take_min(merged, value);
}
template <class T>
void take_max(std::optional<T>& merged, const std::optional<T>& value) {
  if (value) merged = merged ? std::max(*merged, *value) : *value;
}

}  // namespace

std::string_view to_text(SessionMfa mfa) {
  switch (mfa) {
    case SessionMfa::kOff: return "off";
    case SessionMfa::kAny: return "any";
    case SessionMfa::kTotp: return "totp";
    case SessionMfa::kWebauthn: return "webauthn";
    case SessionMfa::kHardwareKey: return "hardware_key";
  }
  return "hardware_key";
}

std::string_view to_text(RecordSession recording) {
  switch (recording) {
    case RecordSession::kOff: return "off";
    case RecordSession::kDefault: return "default";
    case RecordSession::kNode: return "node";
    case RecordSession::kNodeSync: return "node-sync";
    case RecordSession::kStrict: return "strict";
  }
  return "strict";
}

bool is_valid_role_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' && name.front() != '.' &&
         std::ranges::all_of(name, [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-';
         });
}

SessionOptions merged_options(std::span<const Role> roles) {
  RoleOptions merged;
  SessionOptions options;
  for (const Role& role : roles) {
    const RoleOptions& own = role.options;
    take_min_limit(merged.max_session_ttl, own.max_session_ttl);
    take_max(merged.require_session_mfa, own.require_session_mfa);
    take_max(merged.pin_source_ip, own.pin_source_ip);
    take_min(merged.port_forwarding, own.port_forwarding);
    take_min(merged.agent_forwarding, own.agent_forwarding);
    take_min(merged.x11_forwarding, own.x11_forwarding);
    take_min(merged.file_copy, own.file_copy);
    take_min_limit(merged.max_sessions, own.max_sessions);
    take_min_limit(merged.client_idle_timeout, own.client_idle_timeout);
    take_max(merged.disconnect_expired_cert, own.disconnect_expired_cert);
    take_min(merged.create_host_user, own.create_host_user);
    // Recording is the one option where silence counts: a role that turns it off must not turn it off for what the
    // user's other roles give.
    take_max(merged.record_session, std::optional(own.record_session.value_or(RecordSession::kDefault)));
    options.require_moderators = std::max(options.require_moderators, role.allow.require_moderators);
  }
  options.max_session_ttl = merged.max_session_ttl.value_or(options.max_session_ttl);
  options.require_session_mfa = merged.require_session_mfa.value_or(options.require_session_mfa);
  options.pin_source_ip = merged.pin_source_ip.value_or(options.pin_source_ip);
  options.port_forwarding = merged.port_forwarding.value_or(options.port_forwarding);
  options.agent_forwarding = merged.agent_forwarding.value_or(options.agent_forwarding);
  options.x11_forwarding = merged.x11_forwarding.value_or(options.x11_forwarding);
  options.file_copy = merged.file_copy.value_or(options.file_copy);
  options.max_sessions = merged.max_sessions.value_or(options.max_sessions);
  options.client_idle_timeout = merged.client_idle_timeout.value_or(options.client_idle_timeout);
  options.disconnect_expired_cert = merged.disconnect_expired_cert.value_or(options.disconnect_expired_cert);
  options.record_session = merged.record_session.value_or(options.record_session);
  options.create_host_user = merged.create_host_user.value_or(options.create_host_user);
  return options;
}

}  // namespace mezite::access
