// parse_role() and role_to_json(): the document of contract §5.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "access/document.hh"
#include "access/permission.hh"
#include "access/role.hh"
#include "access/template.hh"
#include "base/clock.hh"
#include "base/text.hh"

namespace mezite::access {
namespace {

constexpr std::size_t kMaxListEntries = 256;
constexpr std::size_t kMaxTextBytes = 1024;
constexpr SessionMfa kAllMfa[] = {SessionMfa::kOff, SessionMfa::kAny, SessionMfa::kTotp, SessionMfa::kWebauthn,
                                  SessionMfa::kHardwareKey};
constexpr RecordSession kAllRecordings[] = {RecordSession::kDefault, RecordSession::kOff, RecordSession::kNode,
                                            RecordSession::kNodeSync, RecordSession::kStrict};
constexpr std::string_view kModes[] = {"observer", "moderator", "peer"};

std::string list_of(std::span<const std::string_view> names) {
  return join(std::vector<std::string>(names.begin(), names.end()), ", ");
}

// A value and where it stands, for errors.
struct At {
  const Value& value;
  std::string path;

  template <class... Args>
  std::unexpected<Error> fault(fmt::format_string<Args...> format, Args&&... args) const {
    const std::string where = value.line > 0 ? fmt::format("line {}: {}", value.line, path) : path;
    return fail(ErrorCode::kInvalidArgument, "{}: {}", where, fmt::format(format, std::forward<Args>(args)...));
  }
  std::string child(std::string_view key) const { return path.empty() ? printable(key) : path + "." + printable(key); }
};

// Calls take(key, At) for each entry of a map whose keys must be among the accepted ones. Null is an empty map.
template <class Take>
Status for_each_key(const At& at, std::span<const std::string_view> accepted, Take take) {
  if (at.value.kind == Value::Kind::kNull) return {};
  if (at.value.kind != Value::Kind::kMap) return at.fault("must be a map with the keys {}", list_of(accepted));
  for (const auto& [key, value] : at.value.entries) {
    const At child{value, at.child(key)};
    if (std::ranges::find(accepted, key) == accepted.end()) {
      return child.fault("unknown key; accepted here: {}", list_of(accepted));
    }
    MEZ_CHECK(take(std::string_view(key), child));
  }
  return {};
}

Result<std::string> text_of(const At& at) {
  if (at.value.kind != Value::Kind::kScalar) return at.fault("must be a text");
  if (at.value.text.size() > kMaxTextBytes) return at.fault("is over {} bytes", kMaxTextBytes);
  return at.value.text;
}

Result<bool> bool_of(const At& at) {
  if (at.value.kind == Value::Kind::kScalar && !at.value.quoted) {
    if (at.value.text == "true") return true;
    if (at.value.text == "false") return false;
  }
  return at.fault("must be true or false");
}

Result<std::uint32_t> count_of(const At& at) {
  std::uint32_t count = 0;
  const std::string& text = at.value.text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (at.value.kind != Value::Kind::kScalar || at.value.quoted || error != std::errc{} ||
      end != text.data() + text.size() || count > 1'000'000) {
    return at.fault("must be a whole number from 0 to 1000000");
  }
  return count;
}

Result<std::chrono::milliseconds> duration_of(const At& at) {
  if (at.value.kind == Value::Kind::kScalar) {
    if (auto duration = parse_duration(at.value.text); duration && *duration <= std::chrono::days(3650)) {
      return *duration;
    }
  }
  return at.fault("must be a duration such as 30m, 12h or 0s");
}

template <class T, std::size_t N>
Result<T> one_of(const At& at, const T (&all)[N]) {
  std::vector<std::string> names;
  for (const T candidate : all) {
    if (at.value.kind == Value::Kind::kScalar && at.value.text == to_text(candidate)) return candidate;
    names.emplace_back(to_text(candidate));
  }
  return at.fault("must be one of {}", join(names, ", "));
}

// Calls take(text, At) for each text of a list.
template <class Take>
Result<std::vector<std::string>> texts_of(const At& at, Take check) {
  std::vector<std::string> texts;
  if (at.value.kind == Value::Kind::kNull) return texts;
  if (at.value.kind != Value::Kind::kList) return at.fault("must be a list, [a, b]");
  if (at.value.items.size() > kMaxListEntries) return at.fault("has over {} entries", kMaxListEntries);
  for (std::size_t i = 0; i < at.value.items.size(); ++i) {
    const At child{at.value.items[i], fmt::format("{}[{}]", at.path, i)};
    MEZ_TRY(std::string text, text_of(child));
    MEZ_CHECK(check(text, child));
    texts.push_back(std::move(text));
  }
  return texts;
}

Status check_role_pattern(const std::string& text, const At& at) {
  if (text == "*" || is_valid_role_name(text)) return {};
  return at.fault("'{}' can't be a role's name", printable(text));
}

Status check_plain(const std::string& text, const At& at) {
  if (!text.empty() && printable(text) == text) return {};
  return at.fault("must not be empty or hold control characters");
}

auto check_among(std::span<const std::string_view> names) {
  return [names](const std::string& text, const At& at) -> Status {
    if (text == "*" || std::ranges::find(names, text) != names.end()) return {};
    return at.fault("'{}' is not known; accepted: {}, *", printable(text), list_of(names));
  };
}

enum class Effect { kAllow, kDeny };

Result<std::vector<std::string>> logins_of(const At& at, Effect effect) {
  return texts_of(at, [effect](const std::string& text, const At& entry) -> Status {
    if (effect == Effect::kDeny && text == "*") return {};
    if (is_template(text)) {
      if (auto status = check_template(text); !status) return entry.fault("{}", status.error().message);
      return {};
    }
    if (is_valid_login(text)) return {};
    return entry.fault("'{}' can't be a login{}", printable(text),
                       text == "*" ? "; name the accounts ('*' is taken in deny only)" : "");
  });
}

Result<LabelSelector> selector_of(const At& at) {
  if (at.value.kind == Value::Kind::kNull) return LabelSelector();
  if (at.value.kind != Value::Kind::kMap) return at.fault("must be a map, {{env: [staging, dev], team: web}}");
  LabelSelector::Entries entries;
  for (const auto& [key, value] : at.value.entries) {
    const At child{value, at.child(key)};
    auto& values = entries[key];
    if (value.kind == Value::Kind::kScalar) {
      values.push_back(value.text);
    } else if (value.kind == Value::Kind::kList) {
      MEZ_TRY(values, texts_of(child, [](const std::string&, const At&) -> Status { return {}; }));
    } else {
      return child.fault("must be a text or a list of texts");
    }
    // Compiled alone first, so that the error names the key.
    if (auto one = LabelSelector::compile({{key, values}}); !one) return child.fault("{}", one.error().message);
  }
  auto selector = LabelSelector::compile(std::move(entries));
  if (!selector) return at.fault("{}", selector.error().message);
  return selector;
}

template <class T, class Read>
Result<std::vector<T>> maps_of(const At& at, Read read) {
  std::vector<T> all;
  if (at.value.kind == Value::Kind::kNull) return all;
  if (at.value.kind != Value::Kind::kList) return at.fault("must be a list of maps");
  if (at.value.items.size() > kMaxListEntries) return at.fault("has over {} entries", kMaxListEntries);
  for (std::size_t i = 0; i < at.value.items.size(); ++i) {
    const At child{at.value.items[i], fmt::format("{}[{}]", at.path, i)};
    if (child.value.kind != Value::Kind::kMap) return child.fault("must be a map");
    MEZ_TRY(T one, read(child));
    all.push_back(std::move(one));
  }
  return all;
}

Result<Rule> rule_of(const At& at) {
  static constexpr std::string_view kKeys[] = {"resources", "verbs"};
  Rule rule;
  const auto read = [&](std::string_view key, const At& child) -> Status {
    if (key == "resources") {
      MEZ_TRY(rule.resources, texts_of(child, check_among(kResources)));
    } else {
      MEZ_TRY(rule.verbs, texts_of(child, check_among(std::span(kVerbs).first(std::size(kVerbs) - 1))));
    }
    return {};
  };
  MEZ_CHECK(for_each_key(at, kKeys, read));
  if (rule.resources.empty() || rule.verbs.empty()) return at.fault("needs resources and verbs");
  return rule;
}

Result<JoinRule> join_rule_of(const At& at) {
  static constexpr std::string_view kKeys[] = {"name", "roles", "modes"};
  JoinRule rule;
  const auto read = [&](std::string_view key, const At& child) -> Status {
    if (key == "name") {
      MEZ_TRY(rule.name, text_of(child));
      MEZ_CHECK(check_plain(rule.name, child));
    } else if (key == "roles") {
      MEZ_TRY(rule.roles, texts_of(child, check_role_pattern));
    } else {
      MEZ_TRY(rule.modes, texts_of(child, check_among(kModes)));
    }
    return {};
  };
  MEZ_CHECK(for_each_key(at, kKeys, read));
  if (rule.roles.empty() || rule.modes.empty()) return at.fault("needs roles and modes");
  return rule;
}

Status read_options(const At& at, RoleOptions& options) {
  static constexpr std::string_view kKeys[] = {
      "max_session_ttl",         "require_session_mfa", "pin_source_ip", "port_forwarding", "agent_forwarding",
      "x11_forwarding",          "file_copy",           "max_sessions",  "record_session",  "client_idle_timeout",
      "disconnect_expired_cert", "create_host_user"};
  return for_each_key(at, kKeys, [&](std::string_view key, const At& child) -> Status {
    if (key == "max_session_ttl") {
      MEZ_TRY(options.max_session_ttl, duration_of(child));
      if (*options.max_session_ttl < std::chrono::seconds(1)) return child.fault("must be a second at least");
    } else if (key == "client_idle_timeout") {
      MEZ_TRY(options.client_idle_timeout, duration_of(child));
    } else if (key == "max_sessions") {
      MEZ_TRY(options.max_sessions, count_of(child));
    } else if (key == "require_session_mfa") {
      const bool unset = child.value.kind == Value::Kind::kScalar && child.value.text.empty();
      if (!unset) {
        MEZ_TRY(options.require_session_mfa, one_of(child, kAllMfa));
      }
    } else if (key == "record_session") {
      MEZ_TRY(options.record_session, one_of(child, kAllRecordings));
    } else {
      MEZ_TRY(const bool value, bool_of(child));
      if (key == "pin_source_ip") options.pin_source_ip = value;
      if (key == "port_forwarding") options.port_forwarding = value;
      if (key == "agent_forwarding") options.agent_forwarding = value;
      if (key == "x11_forwarding") options.x11_forwarding = value;
      if (key == "file_copy") options.file_copy = value;
      if (key == "disconnect_expired_cert") options.disconnect_expired_cert = value;
      if (key == "create_host_user") options.create_host_user = value;
    }
    return {};
  });
}

Status read_conditions(const At& at, Effect effect, Conditions& conditions) {
  static constexpr std::string_view kKeys[] = {"node_labels",       "logins",       "app_labels",    "request_roles",
                                               "request_resources", "review_roles", "join_sessions", "rules",
                                               "require_moderators"};
  const auto accepted = std::span(kKeys).first(effect == Effect::kAllow ? std::size(kKeys) : std::size(kKeys) - 1);
  return for_each_key(at, accepted, [&](std::string_view key, const At& child) -> Status {
    if (key == "node_labels") {
      MEZ_TRY(conditions.node_labels, selector_of(child));
    } else if (key == "app_labels") {
      MEZ_TRY(conditions.app_labels, selector_of(child));
    } else if (key == "logins") {
      MEZ_TRY(conditions.logins, logins_of(child, effect));
    } else if (key == "request_roles") {
      MEZ_TRY(conditions.request_roles, texts_of(child, check_role_pattern));
    } else if (key == "request_resources") {
      MEZ_TRY(conditions.request_resources, texts_of(child, check_plain));
    } else if (key == "review_roles") {
      MEZ_TRY(conditions.review_roles, texts_of(child, check_role_pattern));
    } else if (key == "join_sessions") {
      MEZ_TRY(conditions.join_sessions, maps_of<JoinRule>(child, join_rule_of));
    } else if (key == "rules") {
      MEZ_TRY(conditions.rules, maps_of<Rule>(child, rule_of));
    } else {
      MEZ_TRY(conditions.require_moderators, count_of(child));
    }
    return {};
  });
}

Status expect_text(const At& at, std::string_view expected) {
  if (at.value.kind == Value::Kind::kScalar && at.value.text == expected) return {};
  return at.fault("must be {}", expected);
}

nlohmann::ordered_json to_json(const LabelSelector& selector) {
  auto json = nlohmann::ordered_json::object();
  for (const auto& [key, values] : selector.entries()) {
    if (values.size() == 1) {
      json[key] = values.front();
    } else {
      json[key] = values;
    }
  }
  return json;
}

nlohmann::ordered_json to_json(const Conditions& conditions) {
  auto json = nlohmann::ordered_json::object();
  const auto put = [&](const char* key, const auto& list) {
    if (!list.empty()) json[key] = list;
  };
  if (!conditions.node_labels.empty()) json["node_labels"] = to_json(conditions.node_labels);
  put("logins", conditions.logins);
  if (!conditions.app_labels.empty()) json["app_labels"] = to_json(conditions.app_labels);
  put("request_roles", conditions.request_roles);
  put("request_resources", conditions.request_resources);
  put("review_roles", conditions.review_roles);
  for (const JoinRule& rule : conditions.join_sessions) {
    auto one = nlohmann::ordered_json::object();
    if (!rule.name.empty()) one["name"] = rule.name;
    one["roles"] = rule.roles;
    one["modes"] = rule.modes;
    json["join_sessions"].push_back(std::move(one));
  }
  if (conditions.require_moderators != 0) json["require_moderators"] = conditions.require_moderators;
  for (const Rule& rule : conditions.rules) {
    json["rules"].push_back(nlohmann::ordered_json{{"resources", rule.resources}, {"verbs", rule.verbs}});
  }
  return json;
}

nlohmann::ordered_json to_json(const RoleOptions& options) {
  auto json = nlohmann::ordered_json::object();
  const auto put = [&](const char* key, const auto& value) {
    if (value) json[key] = *value;
  };
  if (options.max_session_ttl) json["max_session_ttl"] = format_duration(*options.max_session_ttl);
  if (options.require_session_mfa) json["require_session_mfa"] = to_text(*options.require_session_mfa);
  put("pin_source_ip", options.pin_source_ip);
  put("port_forwarding", options.port_forwarding);
  put("agent_forwarding", options.agent_forwarding);
  put("x11_forwarding", options.x11_forwarding);
  put("file_copy", options.file_copy);
  put("max_sessions", options.max_sessions);
  if (options.client_idle_timeout) json["client_idle_timeout"] = format_duration(*options.client_idle_timeout);
  put("disconnect_expired_cert", options.disconnect_expired_cert);
  if (options.record_session) json["record_session"] = to_text(*options.record_session);
  put("create_host_user", options.create_host_user);
  return json;
}

}  // namespace

Result<Role> parse_role(std::string_view document) {
  static constexpr std::string_view kTop[] = {"kind", "version", "metadata", "spec"};
  static constexpr std::string_view kMetadata[] = {"name", "description"};
  static constexpr std::string_view kSpec[] = {"options", "allow", "deny"};
  MEZ_TRY(const Value root, parse_document(document, kMaxRoleDocumentBytes));
  if (root.kind != Value::Kind::kMap) {
    return fail(ErrorCode::kInvalidArgument, "a role is a map with the keys {}", list_of(kTop));
  }
  Role role;
  std::set<std::string_view> seen;
  const auto read = [&](std::string_view key, const At& at) -> Status {
    seen.insert(key);
    if (key == "kind") return expect_text(at, "role");
    if (key == "version") return expect_text(at, "v1");
    if (key == "metadata") {
      return for_each_key(at, kMetadata, [&](std::string_view name, const At& child) -> Status {
        if (name == "name") {
          MEZ_TRY(role.name, text_of(child));
          if (is_valid_role_name(role.name)) return {};
          return child.fault("'{}' can't be a role's name; take 1 to 64 letters, digits, '.', '_' and '-'",
                             printable(role.name));
        }
        MEZ_TRY(role.description, text_of(child));
        return {};
      });
    }
    return for_each_key(at, kSpec, [&](std::string_view part, const At& child) -> Status {
      if (part == "options") return read_options(child, role.options);
      if (part == "allow") return read_conditions(child, Effect::kAllow, role.allow);
      return read_conditions(child, Effect::kDeny, role.deny);
    });
  };
  MEZ_CHECK(for_each_key(At{root, ""}, kTop, read));
  for (const std::string_view key : {"kind", "version", "metadata"}) {
    if (!seen.contains(key)) {
      return fail(ErrorCode::kInvalidArgument,
                  "{} is missing; a role begins with kind: role, version: v1, metadata: {{name: …}}", key);
    }
  }
  if (role.name.empty()) return fail(ErrorCode::kInvalidArgument, "metadata.name is missing; give the role a name");
  return role;
}

std::string role_to_json(const Role& role) {
  using Json = nlohmann::ordered_json;
  Json metadata{{"name", role.name}};
  if (!role.description.empty()) metadata["description"] = role.description;
  Json spec = Json::object();
  const auto put = [&](const char* key, Json part) {
    if (!part.empty()) spec[key] = std::move(part);
  };
  put("options", to_json(role.options));
  put("allow", to_json(role.allow));
  put("deny", to_json(role.deny));
  const Json document{{"kind", "role"}, {"version", "v1"}, {"metadata", metadata}, {"spec", spec}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mezite::access
