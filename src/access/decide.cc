#include "access/decide.hh"

#include <algorithm>
#include <set>

#include "access/template.hh"
#include "base/text.hh"

namespace mezite::access {
namespace {

constexpr std::size_t kMaxListedLogins = 10;

// What one role says about a node and a login.
struct Verdict {
  bool denies_node = false;
  bool denies_login = false;
  bool allows_node = false;
  bool allows_login = false;
};

bool holds_login(const std::vector<std::string>& logins, std::string_view login, const Traits& traits) {
  return std::ranges::any_of(logins, [&](const std::string& entry) {
    if (!is_template(entry)) return entry == login;
    const auto expanded = expand_template(entry, traits);
    return std::ranges::find(expanded, login) != expanded.end();
  });
}

bool denies_login(const Role& role, std::string_view login, const Traits& traits) {
  return std::ranges::find(role.deny.logins, "*") != role.deny.logins.end() ||
         holds_login(role.deny.logins, login, traits);
}

Verdict ask(const Role& role, const Traits& traits, const Node& node, std::string_view login) {
  return {.denies_node = role.deny.node_labels.matches(node.labels, traits),
          .denies_login = denies_login(role, login, traits),
          .allows_node = role.allow.node_labels.matches(node.labels, traits),
          .allows_login = holds_login(role.allow.logins, login, traits)};
}

// The one place where a decision is made.
struct Ruling {
  Reason reason = Reason::kNoRoles;
  const Role* role = nullptr;
};

Ruling rule(std::span<const Role> roles, const Traits& traits, const Node& node, std::string_view login) {
  if (roles.empty()) return {Reason::kNoRoles};
  if (!is_valid_login(login)) return {Reason::kMalformedLogin};
  if (!check_labels(node.labels)) return {Reason::kMalformedLabels};
  Ruling node_denied, login_denied, allowed, node_only;
  for (const Role& role : roles) {
    const Verdict verdict = ask(role, traits, node, login);
    if (verdict.denies_node && !node_denied.role) node_denied = {Reason::kNodeDenied, &role};
    if (verdict.denies_login && !login_denied.role) login_denied = {Reason::kLoginDenied, &role};
    if (verdict.allows_node && verdict.allows_login && !allowed.role) allowed = {Reason::kAllowed, &role};
    if (verdict.allows_node && !node_only.role) node_only = {Reason::kLoginNotAllowed, &role};
  }
  for (const Ruling& ruling : {node_denied, login_denied, allowed}) {
    if (ruling.role) return ruling;
  }
  return {node_only.role ? Reason::kLoginNotAllowed : Reason::kNodeNotAllowed};
}

// Every login that some role's allow names, whatever the node.
std::set<std::string> candidate_logins(std::span<const Role> roles, const Traits& traits) {
  std::set<std::string> candidates;
  for (const Role& role : roles) {
    for (const std::string& entry : role.allow.logins) {
      for (std::string& login : expand_template(entry, traits)) {
        if (is_valid_login(login)) candidates.insert(std::move(login));
      }
    }
  }
  return candidates;
}

// "{env: dev|staging, *: *}", for people.
std::string shown(const LabelSelector& selector) {
  std::vector<std::string> keys;
  for (const auto& [key, values] : selector.entries()) {
    keys.push_back(fmt::format("{}: {}", printable(key), printable(join(values, "|"))));
  }
  return fmt::format("{{{}}}", join(keys, ", "));
}

std::string step_of(const Role& role, const Verdict& verdict) {
  const auto says = [&]() -> std::string {
    if (verdict.denies_node) {
      return fmt::format("denies the node: deny.node_labels {} match it", shown(role.deny.node_labels));
    }
    if (verdict.denies_login) return "denies the login: deny.logins hold it";
    const std::string labels = shown(role.allow.node_labels);
    if (verdict.allows_node && verdict.allows_login) {
      return fmt::format("allows: allow.node_labels {} match the node, and allow.logins hold the login", labels);
    }
    if (verdict.allows_node)
      return fmt::format("matches the node by {}, but allow.logins don't hold the login", labels);
    if (role.allow.node_labels.empty()) return "gives no nodes: allow.node_labels is empty";
    if (verdict.allows_login)
      return fmt::format("has the login, but allow.node_labels {} don't match the node", labels);
    return fmt::format("neither matches the node (allow.node_labels {}) nor has the login", labels);
  };
  return fmt::format("role '{}': {}", printable(role.name), says());
}

std::string summary_of(const Ruling& ruling, std::string_view user, const Node& node, std::string_view login,
                       const std::vector<std::string>& logins) {
  const std::string who = printable(user);
  const std::string where = printable(node.name);
  const std::string as = printable(login);
  const std::string role = ruling.role ? printable(ruling.role->name) : "";
  switch (ruling.reason) {
    case Reason::kAllowed: return fmt::format("{} may log in to {} as {} by the role '{}'", who, where, as, role);
    case Reason::kNoRoles:
      return fmt::format("{} has no role, so there is nothing to log in to; give the user a role", who);
    case Reason::kMalformedLogin: return fmt::format("'{}' can't be the name of an account", as);
    case Reason::kMalformedLabels:
      return fmt::format("the labels of {} are malformed, so no role can match it; correct them on the node", where);
    case Reason::kNodeDenied:
      return fmt::format("the role '{}' denies {} the node {} by its labels; a deny overrides every allow", role, who,
                         where);
    case Reason::kLoginDenied:
      return fmt::format("the role '{}' denies {} the login {} on every node; a deny overrides every allow", role, who,
                         as);
    case Reason::kNodeNotAllowed: return fmt::format("no role of {} matches the labels of {}", who, where);
    case Reason::kLoginNotAllowed: break;
  }
  if (logins.empty()) return fmt::format("no role of {} that matches {} has a login there", who, where);
  const std::vector<std::string> shown(
      logins.begin(), logins.begin() + static_cast<std::ptrdiff_t>(std::min(logins.size(), kMaxListedLogins)));
  return fmt::format("no role of {} that matches {} has the login {}; allowed there: {}{}", who, where, as,
                     join(shown, ", "), logins.size() > shown.size() ? ", …" : "");
}

}  // namespace

std::string_view to_text(Reason reason) {
  switch (reason) {
    case Reason::kAllowed: return "allowed";
    case Reason::kNoRoles: return "no_roles";
    case Reason::kMalformedLogin: return "malformed_login";
    case Reason::kMalformedLabels: return "malformed_labels";
    case Reason::kNodeDenied: return "node_denied";
    case Reason::kLoginDenied: return "login_denied";
    case Reason::kNodeNotAllowed: return "node_not_allowed";
    case Reason::kLoginNotAllowed: return "login_not_allowed";
  }
  return "unknown";
}

Decision decide(std::span<const Role> roles, std::string_view user, const Traits& traits, const Node& node,
                std::string_view login) {
  const Ruling ruling = rule(roles, traits, node, login);
  Decision decision;
  decision.reason = ruling.reason;
  decision.allowed = ruling.reason == Reason::kAllowed;
  if (ruling.role) decision.role = ruling.role->name;
  decision.allowed_logins = visible_logins(roles, traits, node);
  decision.summary = summary_of(ruling, user, node, login, decision.allowed_logins);
  for (const Role& role : roles) decision.steps.push_back(step_of(role, ask(role, traits, node, login)));
  decision.options = merged_options(roles);
  return decision;
}

std::vector<std::string> visible_logins(std::span<const Role> roles, const Traits& traits, const Node& node) {
  std::vector<std::string> logins;
  for (const std::string& login : candidate_logins(roles, traits)) {
    if (rule(roles, traits, node, login).reason == Reason::kAllowed) logins.push_back(login);
  }
  return logins;
}

bool can_see(std::span<const Role> roles, const Traits& traits, const Node& node) {
  return std::ranges::any_of(candidate_logins(roles, traits), [&](const std::string& login) {
    return rule(roles, traits, node, login).reason == Reason::kAllowed;
  });
}

std::vector<std::string> certificate_logins(std::span<const Role> roles, const Traits& traits) {
  std::vector<std::string> logins;
  for (const std::string& login : candidate_logins(roles, traits)) {
    const auto denied = [&](const Role& role) { return denies_login(role, login, traits); };
    if (std::ranges::none_of(roles, denied)) logins.push_back(login);
  }
  return logins;
}

}  // namespace mezite::access
