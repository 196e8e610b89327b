// Properties over random roles, users and nodes. Small alphabets, so that matches and clashes are common.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstdlib>

#include "access/decide.hh"
#include "access/permission.hh"

namespace mezite::access {
namespace {

rc::Gen<std::string> some_login() { return rc::gen::element<std::string>("root", "ubuntu", "deploy", "db"); }
rc::Gen<std::string> some_key() { return rc::gen::element<std::string>("env", "team", "zone"); }
rc::Gen<std::string> some_value() { return rc::gen::element<std::string>("dev", "prod", "eng-a", ""); }

rc::Gen<Labels> some_labels() {
  return rc::gen::exec([] {
    Labels labels;
    for (int i = *rc::gen::inRange(0, 4); i > 0; --i) labels[*some_key()] = *some_value();
    return labels;
  });
}

rc::Gen<Traits> some_traits() {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(some_login()),
                      [](auto logins) { return Traits{{"logins", std::move(logins)}}; });
}

rc::Gen<LabelSelector> some_selector() {
  const auto values = rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("dev", "prod", "*", "^eng-.*$", "^.*$", "{{internal.logins}}")));
  return rc::gen::exec([values] {
    LabelSelector::Entries entries;
    if (*rc::gen::inRange(0, 4) == 0) entries["*"] = {"*"};
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) entries[*some_key()] = *values;
    return *LabelSelector::compile(std::move(entries));
  });
}

rc::Gen<Role> some_role() {
  const auto logins = rc::gen::container<std::vector<std::string>>(
      rc::gen::oneOf(some_login(), rc::gen::just<std::string>("{{internal.logins}}")));
  return rc::gen::exec([logins] {
    Role role;
    role.name = *rc::gen::element<std::string>("a", "b", "c");
    role.allow.node_labels = *some_selector();
    role.allow.logins = *logins;
    if (*rc::gen::inRange(0, 3) == 0) role.deny.node_labels = *some_selector();
    if (*rc::gen::inRange(0, 3) == 0) role.deny.logins = *logins;
    if (*rc::gen::inRange(0, 8) == 0) role.deny.logins.push_back("*");
    return role;
  });
}

rc::Gen<std::vector<Role>> some_roles() { return rc::gen::container<std::vector<Role>>(some_role()); }

template <class Property>
void holds(const char* what, Property property) {
  ::setenv("RC_PARAMS", "max_success=150", 0);
  EXPECT_TRUE(rc::check(what, std::move(property)));
}

TEST(AccessProperty, DenyWins) {
  holds("a role that denies the node or the login is never outvoted", [] {
    const auto roles = *some_roles();
    const auto traits = *some_traits();
    const auto labels = *some_labels();
    const auto login = *some_login();
    const bool denied = std::ranges::any_of(roles, [&](const Role& role) {
      return role.deny.node_labels.matches(labels, traits) || std::ranges::count(role.deny.logins, login) > 0 ||
             std::ranges::count(role.deny.logins, "*") > 0;
    });
    RC_PRE(denied);
    RC_ASSERT(!decide(roles, "u", traits, Node{"n", labels}, login).allowed);
  });
}

TEST(AccessProperty, AddingADenyNeverAllows) {
  holds("what was refused stays refused, whichever role gets the deny", [] {
    const auto roles = *some_roles();
    const auto traits = *some_traits();
    const auto labels = *some_labels();
    const auto login = *some_login();
    const bool before = decide(roles, "u", traits, Node{"n", labels}, login).allowed;
    auto stricter = roles;
    if (stricter.empty() || *rc::gen::arbitrary<bool>()) stricter.push_back(Role{.name = "extra"});
    Role& changed = stricter[*rc::gen::inRange<std::size_t>(0, stricter.size())];
    changed.deny.logins.push_back(*some_login());
    if (changed.deny.node_labels.empty()) changed.deny.node_labels = *some_selector();
    const bool after = decide(stricter, "u", traits, Node{"n", labels}, login).allowed;
    RC_ASSERT(before || !after);
  });
}

TEST(AccessProperty, ListsAndExplanationsAgreeWithEnforcement) {
  holds("visible_logins, can_see and decide say the same", [] {
    const auto roles = *some_roles();
    const auto traits = *some_traits();
    const auto labels = *some_labels();
    const Node node{"n", labels};
    const auto logins = visible_logins(roles, traits, node);
    RC_ASSERT(can_see(roles, traits, node) == !logins.empty());
    const auto principals = certificate_logins(roles, traits);
    for (const std::string login : {"root", "ubuntu", "deploy", "db"}) {
      const Decision decision = decide(roles, "u", traits, node, login);
      RC_ASSERT(decision.allowed == (std::ranges::count(logins, login) == 1));
      RC_ASSERT(decision.allowed == (decision.reason == Reason::kAllowed));
      RC_ASSERT(decision.allowed_logins == logins);
      RC_ASSERT(decision.steps.size() == roles.size());
      if (decision.allowed) RC_ASSERT(std::ranges::count(principals, login) == 1);
    }
  });
}

TEST(AccessProperty, TheOrderOfRolesDoesNotMatter) {
  holds("reversed roles decide the same", [] {
    auto roles = *some_roles();
    const auto traits = *some_traits();
    const auto labels = *some_labels();
    const auto login = *some_login();
    const Decision forward = decide(roles, "u", traits, Node{"n", labels}, login);
    std::ranges::reverse(roles);
    const Decision backward = decide(roles, "u", traits, Node{"n", labels}, login);
    RC_ASSERT(forward.allowed == backward.allowed);
    RC_ASSERT(forward.reason == backward.reason);
    RC_ASSERT(forward.options == backward.options);
  });
}

TEST(AccessProperty, DocumentsComeBackTheSame) {
  holds("parse_role(role_to_json(r)) == r", [] {
    const Role role = *some_role();
    const auto again = parse_role(role_to_json(role));
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == role);
  });
}

TEST(AccessProperty, RandomTextNeverCrashesTheParser) {
  holds("any text gives a role or an error", [] {
    const auto text = *rc::gen::container<std::string>(rc::gen::element(
        '{', '}', '[', ']', ':', ',', '"', '\'', '\n', ' ', '-', '&', '*', '!', '|', '>', '%', '#', 'a', '\xff', '\\'));
    const auto parsed = parse_role(text);
    RC_ASSERT(parsed.has_value() || !parsed.error().message.empty());
  });
}

}  // namespace
}  // namespace mezite::access
