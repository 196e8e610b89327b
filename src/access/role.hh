// The role document (kind: role, version: v1): what it holds, how it is read and written.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"

namespace mezite::access {

// In the order of strictness.
enum class SessionMfa { kOff, kAny, kTotp, kWebauthn, kHardwareKey };
enum class RecordSession { kOff, kDefault, kNode, kNodeSync, kStrict };

std::string_view to_text(SessionMfa mfa);           // "off", "any", …
std::string_view to_text(RecordSession recording);  // "off", "default", "node", "node-sync", "strict"

// What one role says; an option that it does not name is no opinion.
struct RoleOptions {
  std::optional<std::chrono::milliseconds> max_session_ttl;
  std::optional<SessionMfa> require_session_mfa;
  std::optional<bool> pin_source_ip;
  std::optional<bool> port_forwarding;
  std::optional<bool> agent_forwarding;
  std::optional<bool> x11_forwarding;
  std::optional<bool> file_copy;
  std::optional<std::uint32_t> max_sessions;
  std::optional<std::chrono::milliseconds> client_idle_timeout;
  std::optional<bool> disconnect_expired_cert;
  std::optional<RecordSession> record_session;
  std::optional<bool> create_host_user;

  bool operator==(const RoleOptions&) const = default;
};

// Permission on the admin API; "*" stands for every resource or verb.
struct Rule {
  std::vector<std::string> resources;
  std::vector<std::string> verbs;
  bool operator==(const Rule&) const = default;
};

// Whose sessions may be joined (by the roles of who runs them), and how: observer, moderator, peer.
struct JoinRule {
  std::string name;
  std::vector<std::string> roles;
  std::vector<std::string> modes;
  bool operator==(const JoinRule&) const = default;
};

struct Conditions {
  LabelSelector node_labels;
  std::vector<std::string> logins;  // literals and templates; "*" in deny only
  LabelSelector app_labels;
  std::vector<std::string> request_roles;
  std::vector<std::string> request_resources;
  std::vector<std::string> review_roles;
  std::vector<JoinRule> join_sessions;
  std::uint32_t require_moderators = 0;  // allow only
  std::vector<Rule> rules;

  bool operator==(const Conditions&) const = default;
};

struct Role {
  std::string name;
  std::string description;
  RoleOptions options;
  Conditions allow;
  Conditions deny;

  bool operator==(const Role&) const = default;
};

inline constexpr std::size_t kMaxRoleDocumentBytes = 64 * 1024;

// Reads YAML or JSON. Every fault is named with its path and the values that are accepted:
// "spec.options.max_sesion_ttl: unknown key; known here: …". The document is hostile input: bounded, no aliases.
Result<Role> parse_role(std::string_view document);

// The canonical document as JSON on one line: fixed order of keys, what is unset left out; parse_role() gives the role
// back.
std::string role_to_json(const Role& role);

// 1–64 of a–z A–Z 0–9 . _ - and not starting with '-' or '.'.
bool is_valid_role_name(std::string_view name);

// admin, access, editor, auditor, reviewer. Live for ever.
std::span<const Role> built_in_roles();

// The options of all of a user's roles together: the strictest wins; defaults fill what no role names.
struct SessionOptions {
  std::chrono::milliseconds max_session_ttl = std::chrono::hours(12);
  SessionMfa require_session_mfa = SessionMfa::kOff;
  bool pin_source_ip = false;
  bool port_forwarding = true;
  bool agent_forwarding = true;
  bool x11_forwarding = true;
  bool file_copy = true;
  std::uint32_t max_sessions = 0;                    // 0: no limit
  std::chrono::milliseconds client_idle_timeout{0};  // 0: none
  bool disconnect_expired_cert = true;
  RecordSession record_session = RecordSession::kDefault;
  bool create_host_user = false;
  std::uint32_t require_moderators = 0;

  bool operator==(const SessionOptions&) const = default;
};
SessionOptions merged_options(std::span<const Role> roles);

}  // namespace mezite::access
