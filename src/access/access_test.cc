#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "access/decide.hh"
#include "access/permission.hh"
#include "access/role_set.hh"
#include "access/template.hh"

namespace mezite::access {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The example of contract §5.
constexpr std::string_view kExample = R"(
kind: role
version: v1
metadata: {name: developer, description: "Developers – staging"}
spec:
  options:            # the strictest of a user's roles wins
    max_session_ttl: 12h
    require_session_mfa: ""
    pin_source_ip: false
    port_forwarding: true
    file_copy: true
    max_sessions: 0
    client_idle_timeout: 0s
    disconnect_expired_cert: true
    record_session: default
    create_host_user: false
  allow:
    node_labels: {env: [staging, dev], team: "^eng-.*$", "*": "*"}
    logins: [ubuntu, "{{internal.logins}}", "{{external.username}}"]
    app_labels: {}
    request_roles: [ssh-production]
    request_resources: [db-01]
    review_roles: [ssh-production]
    join_sessions: []
    require_moderators: 0
    rules: [{resources: [users], verbs: [list, read]}]
  deny: {node_labels: {sensitivity: restricted}, logins: [root]}
)";

Role role(std::string_view spec, std::string_view name = "r") {
  auto parsed = parse_role(fmt::format("kind: role\nversion: v1\nmetadata: {{name: {}}}\nspec: {}", name, spec));
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  return parsed ? *parsed : Role{};
}

std::string error_of(std::string_view spec) {
  const auto parsed = parse_role(fmt::format("kind: role\nversion: v1\nmetadata: {{name: r}}\nspec: {}", spec));
  return parsed ? "" : parsed.error().message;
}

TEST(RoleDocument, TheContractsExampleIsReadAndComesBackTheSame) {
  const auto parsed = parse_role(kExample);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->name, "developer");
  EXPECT_EQ(parsed->options.max_session_ttl, 12h);
  EXPECT_FALSE(parsed->options.require_session_mfa);
  EXPECT_THAT(parsed->allow.logins, ElementsAre("ubuntu", "{{internal.logins}}", "{{external.username}}"));
  EXPECT_THAT(parsed->deny.logins, ElementsAre("root"));
  const std::string json = role_to_json(*parsed);
  EXPECT_EQ(json.find('\n'), json.npos);
  const auto again = parse_role(json);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *parsed);
  EXPECT_EQ(role_to_json(*again), json);
}

TEST(RoleDocument, JsonWithSurrogatePairsIsRead) {
  const auto parsed = parse_role(
      R"({"kind":"role","version":"v1","metadata":{"name":"r","description":"\ud83d\ude00\/"},"spec":{"options":{"max_sessions":3}}})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->description, "😀/");
  EXPECT_EQ(parsed->options.max_sessions, 3U);
}

TEST(RoleDocument, FaultsNameTheirPathAndWhatIsAccepted) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"{options: {max_sesion_ttl: 1h}}", "spec.options.max_sesion_ttl: unknown key; accepted here: max_session_ttl"},
      {"{options: {max_session_ttl: 12}}", "spec.options.max_session_ttl: must be a duration"},
      {"{options: {max_session_ttl: 0s}}", "spec.options.max_session_ttl: must be a second"},
      {"{options: {port_forwarding: \"true\"}}", "spec.options.port_forwarding: must be true or false"},
      {"{options: {port_forwarding: 1}}", "must be true or false"},
      {"{options: {max_sessions: -1}}", "spec.options.max_sessions: must be a whole number"},
      {"{options: {max_sessions: 1.5}}", "must be a whole number"},
      {"{options: {record_session: maybe}}", "must be one of default, off, node, node-sync, strict"},
      {"{options: {require_session_mfa: sms}}", "must be one of off, any, totp"},
      {"{allow: {logins: root}}", "spec.allow.logins: must be a list"},
      {"{allow: {logins: [a, [b]]}}", "spec.allow.logins[1]: must be a text"},
      {"{allow: {logins: ['*']}}", "name the accounts"},
      {"{allow: {logins: ['a,b']}}", "can't be a login"},
      {"{allow: {logins: ['{{internal.logins']}}", "is not a template"},
      {"{allow: {logins: ['{{user.name}}']}}", "is not a template"},
      {"{allow: {logins: ['{{internal.a}}{{internal.b}}']}}", "is not a template"},
      {"{allow: {node_labels: {team: '^eng-($'}}}", "spec.allow.node_labels.team: '^eng-($' is not a regular"},
      {"{allow: {node_labels: {'*': prod}}}", "takes only the value '*'"},
      {"{allow: {node_labels: {env: []}}}", "has no value"},
      {"{allow: {node_labels: {env: {a: b}}}}", "must be a text or a list"},
      {"{allow: {node_labels: [env]}}", "spec.allow.node_labels: must be a map"},
      {"{allow: {rules: [{resources: [user], verbs: [list]}]}}", "'user' is not known; accepted: users, roles"},
      {"{allow: {rules: [{resources: [users]}]}}", "spec.allow.rules[0]: needs resources and verbs"},
      {"{allow: {rules: [users]}}", "spec.allow.rules[0]: must be a map"},
      {"{allow: {join_sessions: [{roles: [dev], modes: [boss]}]}}", "accepted: observer, moderator, peer"},
      {"{deny: {require_moderators: 1}}", "spec.deny.require_moderators: unknown key"},
      {"{allow: {request_resources: [\"a\\nb\"]}}", "control characters"},
      {"[]", "spec: must be a map with the keys options, allow, deny"},
      {"{allow: {logins: &a [root]}, deny: {logins: *a}}", "aliases"},
      {"{allow: {logins: [a]}, allow: {logins: [b]}}", "the key 'allow' is there twice"},
  };
  for (const auto& [spec, expected] : cases) EXPECT_THAT(error_of(spec), HasSubstr(expected)) << spec;
  EXPECT_THAT(error_of("\n  options:\n    max_sesion_ttl: 1h"), HasSubstr("line 6: spec.options"));
}

TEST(RoleDocument, HostileDocumentsAreErrors) {
  const std::string cases[] = {
      "",
      "   ",
      "role",
      "[1, 2]",
      "kind: role",
      "kind: role\nversion: v2\nmetadata: {name: r}",
      "kind: user\nversion: v1\nmetadata: {name: r}",
      "kind: role\nversion: v1\nmetadata: {}",
      "kind: role\nversion: v1\nmetadata: {name: '../etc'}",
      "kind: role\nversion: v1\nmetadata: {name: r}\n---\nkind: role",
      "kind: role\nversion: v1\nmetadata: {name: r}\nextra: 1",
      "{\"kind\":\"role\",\"kind\":\"role\"",
      "\xff\xfe",
      std::string("kind: role\0", 11),
      std::string(50'000, '['),
      std::string(50'000, '{'),
      "{" + std::string(40'000, '"'),
      "a: &a [*a, *a]",
      "? [a, b]\n: c",
      "!!python/object:x {a: b}",
      "%YAML 9.9\n---\na: b",
      std::string(70'000, 'a'),
  };
  for (const std::string& text : cases) EXPECT_FALSE(parse_role(text)) << text.substr(0, 60);
  // "Billion laughs": aliases of aliases are refused at the first.
  EXPECT_THAT(parse_role("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]").error().message, HasSubstr("aliases"));
}

TEST(Labels, MatchAsTheContractSays) {
  struct Case {
    LabelSelector::Entries selector;
    Labels labels;
    bool matches;
  };
  const Labels staging{{"env", "staging"}, {"team", "eng-core"}};
  const Case cases[] = {
      {{}, staging, false},
      {{}, {}, false},
      {{{"*", {"*"}}}, staging, true},
      {{{"*", {"*"}}}, {}, true},
      {{{"env", {"staging"}}}, staging, true},
      {{{"env", {"dev", "staging"}}}, staging, true},
      {{{"env", {"dev"}}}, staging, false},
      {{{"env", {"staging"}}, {"team", {"ops"}}}, staging, false},
      {{{"env", {"staging"}}, {"*", {"*"}}}, staging, true},
      {{{"env", {"dev"}}, {"*", {"*"}}}, staging, false},
      {{{"env", {"*"}}}, staging, true},
      {{{"zone", {"*"}}}, staging, false},
      {{{"team", {"^eng-.*$"}}}, staging, true},
      {{{"team", {"^ENG-.*$"}}}, staging, false},
      {{{"team", {"^(?i)ENG-.*$"}}}, staging, true},
      {{{"team", {"^eng$"}}}, staging, false},
      {{{"team", {"eng-.*"}}}, staging, false},       // not an expression without both anchors
      {{{"team", {"^x|eng-core$"}}}, staging, true},  // the whole value, either alternative
      {{{"team", {"^eng|ops$"}}}, staging, false},    // not "begins with eng"
      {{{"team", {"^(?m)eng$"}}}, {{"team", "eng\nops"}}, false},
      {{{"env", {""}}}, {{"env", ""}}, true},
      {{{"Env", {"staging"}}}, staging, false},
  };
  for (const Case& c : cases) {
    const auto selector = LabelSelector::compile(c.selector);
    ASSERT_TRUE(selector) << selector.error().message;
    EXPECT_EQ(selector->matches(c.labels, {}), c.matches) << testing::PrintToString(c.selector);
  }
}

TEST(Labels, ExpressionsAreLinearAndBounded) {
  // Catastrophic for a backtracking engine.
  const auto selector = LabelSelector::compile({{"a", {"^(a+)+b$"}}});
  ASSERT_TRUE(selector);
  EXPECT_FALSE(selector->matches({{"a", std::string(1000, 'a')}}, {}));
  EXPECT_FALSE(LabelSelector::compile({{"a", {"^" + std::string(400, 'a') + "$"}}}));
  EXPECT_FALSE(LabelSelector::compile({{"a", {"^((((a{100}){100}){100}){100})$"}}}));
  EXPECT_FALSE(LabelSelector::compile({{"a", {"^(?=a)$"}}}));
}

TEST(Labels, TemplatesStandForTheTraitsValuesLiterally) {
  const auto selector = LabelSelector::compile({{"team", {"{{external.team}}"}}});
  ASSERT_TRUE(selector);
  EXPECT_TRUE(selector->matches({{"team", "db"}}, {{"team", {"web", "db"}}}));
  EXPECT_FALSE(selector->matches({{"team", "db"}}, {}));
  // A trait that looks like a pattern is none.
  EXPECT_FALSE(selector->matches({{"team", "db"}}, {{"team", {"*", "^.*$", "{{external.team}}"}}}));
}

TEST(Labels, AreReadFromText) {
  EXPECT_EQ(parse_labels("env=prod, team=db=1").value(), (Labels{{"env", "prod"}, {"team", "db=1"}}));
  EXPECT_TRUE(parse_labels("")->empty());
  for (std::string_view bad : {"env", "=x", "a=1,a=2", "a=\x1b[2J", "a=\xff", "*=x", "a=1,"}) {
    EXPECT_FALSE(parse_labels(bad)) << bad;
  }
}

TEST(Templates, ExpandToManyValuesOrNone) {
  const Traits traits{{"logins", {"ubuntu", "root"}}, {"username", {"alice"}}, {"empty", {}}, {"blank", {""}}};
  EXPECT_THAT(expand_template("{{internal.logins}}", traits), ElementsAre("ubuntu", "root"));
  EXPECT_THAT(expand_template("dev-{{ external.username }}-x", traits), ElementsAre("dev-alice-x"));
  EXPECT_THAT(expand_template("plain", traits), ElementsAre("plain"));
  EXPECT_THAT(expand_template("{{internal.unknown}}", traits), IsEmpty());
  EXPECT_THAT(expand_template("{{internal.empty}}", traits), IsEmpty());
  EXPECT_THAT(expand_template("ops-{{internal.blank}}", traits), IsEmpty());
  EXPECT_THAT(expand_template("{{bad", traits), IsEmpty());
}

TEST(Templates, ValuesThatAreNoLoginsAreDropped) {
  // A comma in a principal made two of one (OpenSSH CVE-2026-35414); empty principals matched all (Vault
  // CVE-2024-7594).
  const Traits traits{{"logins",
                       {"a,root", "ro ot", "r*", "r?ot", "\x1b[2J", "", "ok", "-oProxy", std::string("a\0b", 3),
                        "\u202eroot", "[ab]", std::string(65, 'a'), "a/b", "alice@corp"}}};
  const Role all = role("{allow: {node_labels: {'*': '*'}, logins: ['{{internal.logins}}']}}");
  const Labels labels;
  const Node node{"n", labels};
  EXPECT_THAT(visible_logins({&all, 1}, traits, node), ElementsAre("alice@corp", "ok"));
  EXPECT_THAT(certificate_logins({&all, 1}, traits), ElementsAre("alice@corp", "ok"));
  EXPECT_EQ(decide({&all, 1}, "u", traits, node, "a,root").reason, Reason::kMalformedLogin);
}

TEST(Decide, SaysWhy) {
  const std::vector<Role> roles{
      role("{allow: {node_labels: {env: dev}, logins: [ubuntu, root]}}", "dev"),
      role("{allow: {node_labels: {env: prod}, logins: [deploy]}, deny: {logins: [root]}}", "ops"),
      role("{deny: {node_labels: {sensitivity: restricted}}}", "guard")};
  const Labels dev{{"env", "dev"}}, prod{{"env", "prod"}}, other{{"env", "x"}};
  const Labels restricted{{"env", "dev"}, {"sensitivity", "restricted"}}, broken{{"env", "\x1b"}};
  const auto ask = [&](const Labels& labels, std::string_view login) {
    return decide(roles, "alice", {}, Node{"web-01", labels}, login);
  };
  EXPECT_EQ(ask(dev, "ubuntu").reason, Reason::kAllowed);
  EXPECT_EQ(ask(dev, "ubuntu").role, "dev");
  EXPECT_THAT(ask(dev, "ubuntu").allowed_logins, ElementsAre("ubuntu"));
  EXPECT_EQ(ask(dev, "root").reason, Reason::kLoginDenied);
  EXPECT_EQ(ask(dev, "root").role, "ops");
  EXPECT_EQ(ask(dev, "deploy").reason, Reason::kLoginNotAllowed);
  EXPECT_THAT(ask(dev, "deploy").summary, HasSubstr("allowed there: ubuntu"));
  EXPECT_EQ(ask(other, "ubuntu").reason, Reason::kNodeNotAllowed);
  EXPECT_EQ(ask(restricted, "ubuntu").reason, Reason::kNodeDenied);
  EXPECT_EQ(ask(broken, "ubuntu").reason, Reason::kMalformedLabels);
  EXPECT_EQ(ask(prod, "").reason, Reason::kMalformedLogin);
  EXPECT_EQ(decide({}, "alice", {}, Node{"n", dev}, "ubuntu").reason, Reason::kNoRoles);
  EXPECT_THAT(ask(dev, "ubuntu").steps, ElementsAre(HasSubstr("'dev': allows"), HasSubstr("'ops': neither"),
                                                    HasSubstr("'guard': gives no nodes")));
  EXPECT_THAT(ask(restricted, "ubuntu").steps.back(),
              HasSubstr("'guard': denies the node: deny.node_labels {sensitivity: restricted}"));
  EXPECT_TRUE(can_see(roles, {}, Node{"n", dev}));
  EXPECT_FALSE(can_see(roles, {}, Node{"n", restricted}));
  // Terminal escapes in names stay harmless in what an admin reads.
  const Decision hostile = decide(roles, "a\x1b[2Jb", {}, Node{"n\nroot", dev}, "ubuntu");
  EXPECT_EQ(hostile.summary.find_first_of("\x1b\n"), std::string::npos);
}

TEST(Decide, NodeAndLoginMustComeFromTheSameRole) {
  const std::vector<Role> roles{role("{allow: {node_labels: {env: prod}, logins: [viewer]}}", "a"),
                                role("{allow: {node_labels: {env: dev}, logins: [root]}}", "b")};
  const Labels prod{{"env", "prod"}};
  EXPECT_FALSE(decide(roles, "u", {}, Node{"n", prod}, "root").allowed);
}

TEST(Decide, DenyOfEveryLogin) {
  const std::vector<Role> roles{role("{allow: {node_labels: {'*': '*'}, logins: [a, b]}}"),
                                role("{deny: {logins: ['*']}}")};
  const Labels labels;
  EXPECT_FALSE(can_see(roles, {}, Node{"n", labels}));
  EXPECT_THAT(certificate_logins(roles, {}), IsEmpty());
}

TEST(Options, TheStrictestWins) {
  const std::vector<Role> roles{
      role("{options: {max_session_ttl: 24h, require_session_mfa: any, port_forwarding: true, client_idle_timeout: 0s, "
           "max_sessions: 5, record_session: off, disconnect_expired_cert: false, create_host_user: true}}"),
      role(
          "{options: {max_session_ttl: 8h, require_session_mfa: webauthn, pin_source_ip: true, port_forwarding: false, "
          "client_idle_timeout: 10m, max_sessions: 0, record_session: strict}, allow: {require_moderators: 2}}")};
  const SessionOptions merged = merged_options(roles);
  EXPECT_EQ(merged.max_session_ttl, 8h);
  EXPECT_EQ(merged.require_session_mfa, SessionMfa::kWebauthn);
  EXPECT_TRUE(merged.pin_source_ip);
  EXPECT_FALSE(merged.port_forwarding);
  EXPECT_TRUE(merged.agent_forwarding);
  EXPECT_EQ(merged.client_idle_timeout, 10min);
  EXPECT_EQ(merged.max_sessions, 5U);
  EXPECT_EQ(merged.record_session, RecordSession::kStrict);
  EXPECT_FALSE(merged.disconnect_expired_cert);
  EXPECT_TRUE(merged.create_host_user);
  EXPECT_EQ(merged.require_moderators, 2U);
  EXPECT_EQ(merged_options({}), SessionOptions{});
  EXPECT_EQ(merged_options({}).max_session_ttl, 12h);
  // "off" beside a role that is silent does not switch recording off.
  EXPECT_EQ(merged_options(std::vector{role("{options: {record_session: off}}"), role("{}")}).record_session,
            RecordSession::kDefault);
  EXPECT_EQ(merged_options(std::vector{role("{options: {record_session: off}}")}).record_session, RecordSession::kOff);
}

TEST(Permissions, BuiltInRoles) {
  const RoleSet set = RoleSet::built_in();
  EXPECT_EQ(set.size(), 5U);
  const auto can = [&](std::string name, std::string_view resource, std::string_view verb) {
    return may(set.resolve(std::vector{std::move(name)}).roles, resource, verb);
  };
  for (std::string_view resource : kResources) {
    EXPECT_TRUE(can("admin", resource, "delete")) << resource;
    EXPECT_FALSE(can("access", resource, "read")) << resource;
  }
  EXPECT_TRUE(can("auditor", "audit", "list"));
  EXPECT_TRUE(can("auditor", "recordings", "read"));
  EXPECT_FALSE(can("auditor", "recordings", "delete"));
  EXPECT_FALSE(can("auditor", "users", "list"));
  EXPECT_TRUE(can("editor", "roles", "create"));
  EXPECT_FALSE(can("editor", "recordings", "read"));
  EXPECT_FALSE(can("editor", "ca", "rotate"));
  EXPECT_TRUE(can("reviewer", "requests", "update"));
  EXPECT_FALSE(may({}, "users", "list"));
  const std::vector<Role> denied{*set.find("admin"), role("{deny: {rules: [{resources: [users], verbs: [delete]}]}}")};
  EXPECT_FALSE(may(denied, "users", "delete"));
  EXPECT_TRUE(may(denied, "users", "list"));
  const Labels labels;
  const Traits traits{{"logins", {"root"}}};
  EXPECT_TRUE(decide({set.find("access"), 1}, "u", traits, Node{"n", labels}, "root").allowed);
}

TEST(RoleSet, ResolvesEachNameOnce) {
  const RoleSet set = RoleSet::built_in();
  const auto resolved = set.resolve(std::vector<std::string>{"access", "gone", "admin", "access"});
  ASSERT_EQ(resolved.roles.size(), 2U);
  EXPECT_EQ(resolved.roles[0].name, "access");
  EXPECT_THAT(resolved.missing, ElementsAre("gone"));
  // A snapshot with one bad document is refused whole: it might have held a deny.
  EXPECT_FALSE(RoleSet::parse(std::vector<std::string>{role_to_json(*set.find("access")), "{}"}));
}

}  // namespace
}  // namespace mezite::access
