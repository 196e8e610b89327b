#include "identity/identity.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/file.hh"
#include "identity/names.hh"
#include "store/schema.hh"

namespace mezite::identity {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kDeveloper = R"(kind: role
version: v1
metadata: {name: developer, description: "writes code"}
spec:
  allow: {node_labels: {env: dev}, logins: [ubuntu]}
)";

class IdentityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-identity-XXXXXX";
    folder_ = ::mkdtemp(name);
    open();
  }
  void TearDown() override {
    id_.reset();
    db_.reset();
    fs::remove_all(folder_);
  }
  void open() {
    id_.reset();
    db_.reset();
    db_ = store::Database::open({.path = folder_ / "mezhub.db", .migrations = store::schema()}).value();
    id_ = Identity::open(*db_, clock_, crypto::kCheapArgon2).value();
  }
  void add_user(const std::string& name, std::vector<std::string> roles = {"access"}) {
    auto made = id_->users.create({.name = name, .roles = std::move(roles), .traits = {}});
    ASSERT_TRUE(made) << made.error().message;
  }
  PasswordOutcome try_password(std::string_view user, std::string_view password) {
    return id_->passwords.verify(user, password).value().outcome;
  }
  std::string token(std::chrono::milliseconds ttl = hours(1), access::Labels labels = {}) {
    return id_->join_tokens.create({.labels = std::move(labels), .ttl = ttl, .created_by = "admin"}).value().secret;
  }
  static NewNode node(std::string name) {
    return {.name = std::move(name),
            .hostname = "web-01.internal",
            .labels = {{"env", "dev"}, {"team", "db"}},
            .version = "0.1.0",
            .ssh_public_key = "ssh-ed25519 AAAA",
            .tls_public_key_spki = {1, 2, 3}};
  }

  fs::path folder_;
  ManualClock clock_;
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<Identity> id_;
};

// ------------------------------------------------------------------------------------------------ users

TEST_F(IdentityTest, UsersComeChangeAndGo) {
  EXPECT_FALSE(id_->users.any().value());
  auto made =
      id_->users.create({.name = "alice", .roles = {"auditor", "access"}, .traits = {{"logins", {"ubuntu", "root"}}}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(id_->users.any().value());
  EXPECT_THAT(made->roles, ElementsAre("access", "auditor"));
  EXPECT_FALSE(made->has_password);
  open();
  auto alice = id_->users.get("alice").value();
  EXPECT_THAT(alice.traits["logins"], ElementsAre("ubuntu", "root"));
  EXPECT_EQ(alice.created_at, clock_.now());
  EXPECT_FALSE(alice.last_login_at);
  auto changed =
      id_->users.update("alice", {.roles = {{"editor"}}, .traits = access::Traits{{"team", {"db"}}}}).value();
  EXPECT_THAT(changed.roles, ElementsAre("editor"));
  EXPECT_EQ(changed.traits.count("logins"), 0u);
  add_user("bob");
  EXPECT_EQ(id_->users.list()->size(), 2u);
  ASSERT_TRUE(id_->users.remove("alice"));
  EXPECT_EQ(id_->users.get("alice").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(id_->users.remove("alice").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(id_->users.update("alice", {}).error().code, ErrorCode::kNotFound);
}

TEST_F(IdentityTest, UsersThatCannotBe) {
  add_user("alice");
  auto create = [&](std::string name, std::vector<std::string> roles, access::Traits traits = {}) {
    auto made = id_->users.create({.name = std::move(name), .roles = std::move(roles), .traits = std::move(traits)});
    return made ? ErrorCode::kInternal : made.error().code;
  };
  EXPECT_EQ(create("alice", {"access"}), ErrorCode::kAlreadyExists);
  EXPECT_EQ(create("Alice", {"access"}), ErrorCode::kAlreadyExists);
  EXPECT_EQ(create("bob", {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create("bob", {"nothing"}), ErrorCode::kNotFound);
  EXPECT_EQ(create("bob", {"access"}, {{"a\nb", {"x"}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create("bob", {"access"}, {{"a", {"\x1b[2J"}}}), ErrorCode::kInvalidArgument);
  for (const char* name :
       {"", "a b", "../x", "-x", ".x", "a,b", "a\nb", "<b>", "\x1b[2J", "ålice", "a/b", "a:b", "a*"}) {
    EXPECT_EQ(create(name, {"access"}), ErrorCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(create(std::string(65, 'a'), {"access"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(create(std::string("a\0b", 3), {"access"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(id_->users.list()->size(), 1u) << "nothing half-written";
}

TEST_F(IdentityTest, TheLastAdminStays) {
  add_user("root1", {"admin", "access"});
  EXPECT_EQ(id_->users.remove("root1").error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(id_->users.update("root1", {.roles = {{"access"}}, .traits = {}}).error().code,
            ErrorCode::kFailedPrecondition);
  add_user("root2", {"admin"});
  EXPECT_TRUE(id_->users.remove("root1"));
}

// ------------------------------------------------------------------------------------------------ passwords

TEST_F(IdentityTest, Passwords) {
  add_user("alice");
  EXPECT_EQ(try_password("alice", ""), PasswordOutcome::kNoPassword);
  EXPECT_EQ(id_->passwords.set("alice", "short").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(id_->passwords.set("nobody", "long enough").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(id_->passwords.set("alice", std::string(2000, 'x')));
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  EXPECT_TRUE(id_->users.get("alice")->has_password);
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
  EXPECT_EQ(id_->users.get("alice")->last_login_at, clock_.now());
  EXPECT_EQ(try_password("alice", "correct horsE"), PasswordOutcome::kWrong);
  EXPECT_EQ(try_password("alice", std::string(100'000, 'x')), PasswordOutcome::kWrong);
  EXPECT_EQ(try_password("nobody", "correct horse"), PasswordOutcome::kUnknownUser);
  EXPECT_EQ(try_password(std::string(100'000, 'x'), "x"), PasswordOutcome::kUnknownUser);
  auto content = read_file(folder_ / "mezhub.db-wal").value();
  EXPECT_EQ(as_text(content).find("correct horse"), std::string_view::npos);
}

TEST_F(IdentityTest, GuessingLocksOutForLongerAndLonger) {
  add_user("alice");
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  for (int i = 0; i < kFreeAttempts - 1; ++i) EXPECT_EQ(try_password("alice", "guess"), PasswordOutcome::kWrong);
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood) << "a good one forgives";
  for (int i = 0; i < kFreeAttempts - 1; ++i) EXPECT_EQ(try_password("alice", "guess"), PasswordOutcome::kWrong);
  EXPECT_FALSE(id_->users.get("alice")->locked);
  auto last = id_->passwords.verify("alice", "guess").value();
  EXPECT_TRUE(last.locked_out_now);
  EXPECT_TRUE(id_->users.get("alice")->locked);
  EXPECT_EQ(id_->users.list()->at(0).locked_until, clock_.now() + kFirstLockOut);
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kLockedOut) << "not even the right one";
  open();
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kLockedOut) << "a restart forgives nothing";
  clock_.advance(kFirstLockOut + seconds(1));
  EXPECT_FALSE(id_->users.get("alice")->locked);
  EXPECT_EQ(try_password("alice", "guess"), PasswordOutcome::kWrong);
  EXPECT_EQ(id_->users.get("alice")->locked_until, clock_.now() + 2 * kFirstLockOut);
  for (int i = 0; i < 20; ++i) {
    clock_.advance(kLongestLockOut + seconds(1));
    EXPECT_EQ(try_password("alice", "guess"), PasswordOutcome::kWrong);
  }
  EXPECT_EQ(id_->users.get("alice")->locked_until, clock_.now() + kLongestLockOut);
  ASSERT_TRUE(id_->passwords.unlock("alice"));
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
}

// Hashes outlive the parameters that they were made with.
TEST_F(IdentityTest, APasswordOfOtherParametersIsGoodAndStoredAnew) {
  add_user("alice");
  auto stored = [this] {
    auto reader = db_->snapshot().value();
    auto rows = reader.query("SELECT password_hash FROM users WHERE name = 'alice'").value();
    EXPECT_TRUE(rows.next().value());
    return std::string(rows.text(0));
  };
  Passwords before(*db_, clock_, {.memory_kib = 32, .iterations = 3, .lanes = 1});
  ASSERT_TRUE(before.set("alice", "correct horse"));
  EXPECT_NE(stored().find("$m=32,t=3,p=1$"), std::string::npos);
  EXPECT_EQ(try_password("alice", "wrong"), PasswordOutcome::kWrong);
  EXPECT_NE(stored().find("$m=32,t=3,p=1$"), std::string::npos) << "only who knows it can renew it";
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
  EXPECT_NE(stored().find("$m=8,t=1,p=1$"), std::string::npos) << stored();
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
}

TEST_F(IdentityTest, GuessesInParallelCountLikeGuessesInARow) {
  add_user("alice");
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  std::atomic<int> checked = 0, refused = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        auto outcome = id_->passwords.verify("alice", "guess").value().outcome;
        ++(outcome == PasswordOutcome::kWrong ? checked : refused);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(checked, kFreeAttempts);
  EXPECT_EQ(refused, 40 - kFreeAttempts);
}

TEST_F(IdentityTest, HashesMadeWithOtherParametersAreRenewed) {
  add_user("alice");
  Passwords dearer(*db_, clock_, {.memory_kib = 64, .iterations = 1, .lanes = 1});
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  ASSERT_TRUE(dearer.verify("alice", "correct horse")->good());
  auto reader = db_->snapshot().value();
  auto row = reader.query_row("SELECT password_hash FROM users").value();
  EXPECT_THAT(row.text(0), HasSubstr("$m=64,"));
}

TEST_F(IdentityTest, ALockedUserIsRefusedWithTheRightPassword) {
  add_user("alice");
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  auto session = id_->sessions.create("alice", "127.0.0.1").value();
  auto lock =
      id_->locks.create({.kind = "user", .name = "alice", .message = "left", .created_by = "admin", .expires_at = {}});
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_TRUE(id_->users.get("alice")->locked);
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kUserLocked);
  EXPECT_EQ(id_->sessions.who(session.token).error().code, ErrorCode::kUnauthenticated);
  ASSERT_TRUE(id_->locks.remove(lock->id));
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
  EXPECT_TRUE(id_->sessions.who(session.token));
}

// ------------------------------------------------------------------------------------------------ links

TEST_F(IdentityTest, AnInviteWorksOnceAndForADay) {
  add_user("alice");
  auto invite = id_->invites.create("alice", InvitePurpose::kInvite).value();
  EXPECT_EQ(id_->invites.look(invite.secret)->user, "alice");
  EXPECT_FALSE(id_->invites.redeem(invite.secret, "short")) << "a bad password does not use it up";
  EXPECT_EQ(id_->invites.redeem(invite.secret, "correct horse").value(), "alice");
  EXPECT_EQ(try_password("alice", "correct horse"), PasswordOutcome::kGood);
  EXPECT_EQ(id_->invites.redeem(invite.secret, "another one").error().code, ErrorCode::kNotFound);

  auto old = id_->invites.create("alice", InvitePurpose::kReset).value();
  auto newer = id_->invites.create("alice", InvitePurpose::kReset).value();
  EXPECT_FALSE(id_->invites.look(old.secret)) << "a new link makes the old one void";
  EXPECT_EQ(id_->invites.look(newer.secret)->purpose, InvitePurpose::kReset);
  clock_.advance(kInviteTtl);
  EXPECT_FALSE(id_->invites.redeem(newer.secret, "another one"));
  EXPECT_FALSE(id_->invites.look(""));
  EXPECT_EQ(id_->invites.create("nobody", InvitePurpose::kInvite).error().code, ErrorCode::kNotFound);
}

TEST_F(IdentityTest, AnInviteIsRedeemedOnceUnderARace) {
  add_user("alice");
  auto invite = id_->invites.create("alice", InvitePurpose::kInvite).value();
  std::atomic<int> won = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      if (id_->invites.redeem(invite.secret, "password number " + std::to_string(t))) ++won;
    });
  }
  threads.clear();
  EXPECT_EQ(won, 1);
}

// ------------------------------------------------------------------------------------------------ sessions

TEST_F(IdentityTest, Sessions) {
  add_user("alice", {"access"});
  auto session = id_->sessions.create("alice", "192.0.2.7").value();
  EXPECT_EQ(session.token.size(), 43u);
  open();
  auto caller = id_->sessions.who(session.token).value();
  EXPECT_EQ(caller.user.name, "alice");
  EXPECT_EQ(caller.expires_at, clock_.now() + kSessionTtl);
  (void)id_->users.update("alice", {.roles = {{"auditor"}}, .traits = {}});
  EXPECT_THAT(id_->sessions.who(session.token)->user.roles, ElementsAre("auditor")) << "roles are those of now";
  for (std::string bad : {std::string(), session.token + "x", session.token.substr(1), std::string(100'000, 'x')}) {
    EXPECT_EQ(id_->sessions.who(bad).error().code, ErrorCode::kUnauthenticated);
  }
  auto content = read_file(folder_ / "mezhub.db-wal").value();
  EXPECT_EQ(as_text(content).find(session.token), std::string_view::npos) << "tokens are stored hashed";

  auto brief = id_->sessions.create("alice", "", minutes(5)).value();
  clock_.advance(minutes(5));
  EXPECT_FALSE(id_->sessions.who(brief.token));
  EXPECT_TRUE(id_->sessions.who(session.token));
  EXPECT_EQ(id_->sessions.sweep().value(), 1);
  ASSERT_TRUE(id_->sessions.revoke(session.token));
  EXPECT_TRUE(id_->sessions.revoke(session.token));
  EXPECT_FALSE(id_->sessions.who(session.token));
}

TEST_F(IdentityTest, WhatEndsSessions) {
  add_user("alice");
  auto one = id_->sessions.create("alice", "").value();
  ASSERT_TRUE(id_->passwords.set("alice", "correct horse"));
  EXPECT_FALSE(id_->sessions.who(one.token)) << "a new password";
  auto two = id_->sessions.create("alice", "").value();
  EXPECT_EQ(id_->sessions.revoke_all("alice").value(), 1);
  EXPECT_FALSE(id_->sessions.who(two.token));
  auto three = id_->sessions.create("alice", "").value();
  ASSERT_TRUE(id_->users.remove("alice"));
  EXPECT_FALSE(id_->sessions.who(three.token)) << "the user is gone";
  add_user("alice");
  EXPECT_FALSE(id_->sessions.who(three.token)) << "another user of that name";
}

// ------------------------------------------------------------------------------------------------ join tokens, nodes

TEST_F(IdentityTest, JoinTokensAreListedAndRemoved) {
  auto made = id_->join_tokens.create({.labels = {{"env", "prod"}}, .ttl = hours(2), .created_by = "admin"}).value();
  EXPECT_EQ(made.secret.size(), 43u);
  auto listed = id_->join_tokens.list().value();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].id, made.token.id);
  EXPECT_EQ(listed[0].expires_at, clock_.now() + hours(2));
  EXPECT_EQ(listed[0].labels.at("env"), "prod");
  EXPECT_THAT(listed[0].roles, ElementsAre("node"));
  auto content = read_file(folder_ / "mezhub.db-wal").value();
  EXPECT_EQ(as_text(content).find(made.secret), std::string_view::npos) << "stored hashed";
  ASSERT_TRUE(id_->join_tokens.remove(made.token.id));
  EXPECT_EQ(id_->join_tokens.remove(made.token.id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(id_->nodes.join(made.secret, node("web-01"), NameTaken::kRefuse).error().code, ErrorCode::kNotFound);
  for (NewJoinToken bad : {NewJoinToken{.roles = {}}, NewJoinToken{.roles = {"admin"}}, NewJoinToken{.ttl = hours(0)},
                           NewJoinToken{.ttl = hours(24 * 8)}, NewJoinToken{.labels = {{"a\nb", "c"}}}}) {
    EXPECT_EQ(id_->join_tokens.create(bad).error().code, ErrorCode::kInvalidArgument);
  }
}

// T1: works once and only within its TTL; each refusal has its own words.
TEST_F(IdentityTest, ReplayedExpiredAndUnknownTokens) {
  std::string secret = token(minutes(10));
  auto joined = id_->nodes.join(secret + ".0123abcd", node("web-01"), NameTaken::kRefuse);
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_EQ(joined->node.name, "web-01");
  EXPECT_TRUE(id_->join_tokens.list()->at(0).used);
  EXPECT_EQ(id_->join_tokens.list()->at(0).used_by, "web-01");
  auto replayed = id_->nodes.join(secret, node("web-02"), NameTaken::kRefuse);
  EXPECT_EQ(replayed.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(replayed.error().message, HasSubstr("used already"));
  std::string late = token(minutes(10));
  clock_.advance(minutes(10));
  auto expired = id_->nodes.join(late, node("web-02"), NameTaken::kRefuse);
  EXPECT_EQ(expired.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(expired.error().message, HasSubstr("expired"));
  for (std::string bad : {std::string(), std::string("."), secret.substr(1), std::string(100'000, 'x')}) {
    auto unknown = id_->nodes.join(bad, node("web-02"), NameTaken::kRefuse);
    EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(unknown.error().message, HasSubstr("not known here"));
  }
  EXPECT_EQ(id_->nodes.list()->size(), 1u);
  clock_.advance(kMaxJoinTokenTtl);
  ASSERT_TRUE(id_->sweep());
  EXPECT_TRUE(id_->join_tokens.list()->empty());
}

TEST_F(IdentityTest, ATokenIsUsedOnceUnderARace) {
  for (int round = 0; round < 5; ++round) {
    std::string secret = token();
    std::atomic<int> won = 0, used = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        auto joined =
            id_->nodes.join(secret, node("n" + std::to_string(round) + "-" + std::to_string(t)), NameTaken::kRefuse);
        if (joined) ++won;
        if (!joined && joined.error().code == ErrorCode::kFailedPrecondition) ++used;
      });
    }
    threads.clear();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(used, 7);
  }
  EXPECT_EQ(id_->nodes.list()->size(), 5u);
}

TEST_F(IdentityTest, ARefusedJoinDoesNotUseTheTokenUp) {
  std::string first = token(), second = token();
  ASSERT_TRUE(id_->nodes.join(first, node("web-01"), NameTaken::kRefuse));
  auto taken = id_->nodes.join(second, node("WEB-01"), NameTaken::kRefuse);
  EXPECT_EQ(taken.error().code, ErrorCode::kAlreadyExists);
  EXPECT_FALSE(id_->nodes.join(second, node("bad name"), NameTaken::kRefuse));
  auto old = id_->nodes.get("web-01").value();
  auto joined = id_->nodes.join(second, node("web-01"), NameTaken::kReplace).value();
  EXPECT_EQ(joined.replaced_node_id, old.id);
  EXPECT_NE(joined.node.id, old.id);
  EXPECT_EQ(id_->nodes.get_by_id(old.id).error().code, ErrorCode::kNotFound) << "its certificates are worth nothing";
  EXPECT_EQ(id_->nodes.list()->size(), 1u);
}

// Terminal escapes, HTML and another's id in node names; labels that an agent may not choose.
TEST_F(IdentityTest, HostileNodes) {
  std::string secret = token(hours(1), {{"env", "prod"}});
  id_->nodes.set_reserved_names("Example.org", {"Hub-1", "hub.internal"});
  for (std::string name : {"",
                           "a b",
                           "\x1b[2Jx",
                           "<b>x</b>",
                           "-x",
                           "x-",
                           "a..b",
                           ".a",
                           "a.",
                           "10.0.0.1",
                           "1234",
                           "localhost",
                           "LocalHost",
                           "a/b",
                           "*",
                           "a,b",
                           "wéb",
                           "f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
                           "example.org",
                           "EXAMPLE.ORG",
                           "web.example.org",
                           "hub-1",
                           "HUB.internal"}) {
    EXPECT_EQ(id_->nodes.join(secret, node(name), NameTaken::kReplace).error().code, ErrorCode::kInvalidArgument)
        << name;
  }
  EXPECT_FALSE(id_->nodes.join(secret, node(std::string(65, 'a')), NameTaken::kReplace));
  EXPECT_FALSE(id_->nodes.join(secret, node(std::string("a\0b", 3)), NameTaken::kReplace));
  auto bad = node("web-01");
  bad.hostname = "x\ny";
  EXPECT_FALSE(id_->nodes.join(secret, bad, NameTaken::kReplace));
  bad = node("web-01");
  bad.version = "\x1b]0;x\x07";
  EXPECT_FALSE(id_->nodes.join(secret, bad, NameTaken::kReplace));
  bad = node("web-01");
  bad.labels["a\x1b"] = "b";
  EXPECT_FALSE(id_->nodes.join(secret, bad, NameTaken::kReplace));
  auto joined = id_->nodes.join(secret, node("web-01.dc_2"), NameTaken::kReplace).value();
  EXPECT_EQ(joined.node.labels.at("env"), "prod") << "the token's word over the agent's";
  EXPECT_EQ(joined.node.labels.at("team"), "db");

  NodeReport report{.node_id = joined.node.id,
                    .at = clock_.now(),
                    .hostname = "h2",
                    .version = "0.2.0",
                    .labels = access::Labels{{"env", "dev"}, {"team", "web"}}};
  ASSERT_TRUE(id_->nodes.report(std::vector{
      report, NodeReport{.node_id = "gone", .at = clock_.now(), .hostname = {}, .version = {}, .labels = {}}}));
  auto now = id_->nodes.get(joined.node.id).value();
  EXPECT_EQ(now.labels.at("env"), "prod");
  EXPECT_EQ(now.labels.at("team"), "web");
  EXPECT_EQ(now.hostname, "h2");
  EXPECT_EQ(now.last_heartbeat, clock_.now());
  report.hostname = "\x1b[2J";
  report.labels = access::Labels{{"a\x1b", "b"}};
  ASSERT_TRUE(id_->nodes.report(std::vector{report}));
  now = id_->nodes.get("WEB-01.dc_2").value();
  EXPECT_EQ(now.hostname, "h2");
  EXPECT_EQ(now.labels.at("team"), "web");
}

TEST_F(IdentityTest, NodesCertificatesAndRemoval) {
  auto joined = id_->nodes.join(token(), node("web-01"), NameTaken::kRefuse).value();
  ASSERT_TRUE(id_->nodes.set_certificate(joined.node.id, "SHA256:abc", clock_.now() + hours(24)));
  ASSERT_TRUE(id_->nodes.set_keys(joined.node.id, "ssh-ed25519 BBBB", Bytes{4}));
  open();
  auto stored = id_->nodes.get("web-01").value();
  EXPECT_EQ(stored.host_cert_signer_fingerprint, "SHA256:abc");
  EXPECT_EQ(stored.host_cert_expires_at, clock_.now() + hours(24));
  EXPECT_EQ(stored.ssh_public_key, "ssh-ed25519 BBBB");
  EXPECT_FALSE(stored.last_heartbeat);
  EXPECT_EQ(id_->nodes.get_by_id("web-01").error().code, ErrorCode::kNotFound) << "never by name";
  EXPECT_EQ(id_->nodes.set_certificate("gone", "x", clock_.now()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(id_->nodes.remove("web-01"));
  EXPECT_EQ(id_->nodes.remove("web-01").error().code, ErrorCode::kNotFound);
}

// ------------------------------------------------------------------------------------------------ roles, locks

TEST_F(IdentityTest, BuiltInRolesAreThereAndStay) {
  std::vector<std::string> names;
  auto roles = id_->roles.list().value();
  for (const StoredRole& role : roles) {
    EXPECT_TRUE(role.built_in);
    names.push_back(role.name);
  }
  EXPECT_THAT(names, ElementsAre("access", "admin", "auditor", "editor", "reviewer"));
  std::int64_t revision = id_->revision().value();
  open();
  EXPECT_EQ(id_->revision().value(), revision) << "a restart changes nothing";
  EXPECT_EQ(id_->roles.remove("access").error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(id_->roles.upsert(id_->roles.get("admin")->document_json).error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(IdentityTest, RolesChangeTheRevision) {
  std::int64_t revision = id_->revision().value();
  auto before = id_->roles.current().value();
  EXPECT_EQ(before->revision, revision);
  EXPECT_EQ(id_->roles.current().value(), before) << "kept";
  auto made = id_->roles.upsert(kDeveloper);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->created);
  EXPECT_EQ(made->role.description, "writes code");
  EXPECT_EQ(id_->revision().value(), revision + 1);
  EXPECT_FALSE(id_->roles.upsert(kDeveloper)->created);
  EXPECT_EQ(id_->revision().value(), revision + 1) << "nothing changed";
  auto after = id_->roles.current().value();
  EXPECT_NE(after->set.find("developer"), nullptr);
  EXPECT_EQ(before->set.find("developer"), nullptr);
  EXPECT_EQ(after->documents.size(), 6u);

  add_user("alice", {"developer"});
  auto in_use = id_->roles.remove("developer");
  EXPECT_EQ(in_use.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(in_use.error().message, HasSubstr("in use by alice"));
  ASSERT_TRUE(id_->users.remove("alice"));
  ASSERT_TRUE(id_->roles.remove("developer"));
  EXPECT_EQ(id_->revision().value(), revision + 2);
  EXPECT_EQ(id_->roles.remove("developer").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(id_->roles.upsert("kind: role\nnonsense: 1").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(IdentityTest, RolesCurrentUnderConcurrentChange) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      std::int64_t seen = 0;
      while (!stop) {
        auto current = id_->roles.current();
        ASSERT_TRUE(current) << current.error().message;
        EXPECT_GE((*current)->revision, seen);
        seen = (*current)->revision;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::string document(kDeveloper);
    document.replace(document.find("writes code"), 11, "number " + std::to_string(i));
    ASSERT_TRUE(id_->roles.upsert(document));
    auto now = id_->roles.current().value();
    EXPECT_EQ(now->set.find("developer")->description, "number " + std::to_string(i)) << "in force once acknowledged";
  }
  stop = true;
}

TEST_F(IdentityTest, Locks) {
  std::int64_t revision = id_->revision().value();
  auto lock = id_->locks.create(
      {.kind = "login", .name = "root", .message = "no", .created_by = "admin", .expires_at = clock_.now() + hours(1)});
  ASSERT_TRUE(lock) << lock.error().message;
  EXPECT_EQ(id_->revision().value(), revision + 1);
  EXPECT_EQ(id_->locks.active()->size(), 1u);
  clock_.advance(hours(1));
  EXPECT_TRUE(id_->locks.active()->empty());
  ASSERT_TRUE(id_->locks.remove(lock->id));
  EXPECT_EQ(id_->revision().value(), revision + 2);
  EXPECT_EQ(id_->locks.remove(lock->id).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(id_->locks.create({.kind = "planet", .name = "x", .message = "", .created_by = "", .expires_at = {}}));
  EXPECT_FALSE(id_->locks.create({.kind = "user", .name = "x\n", .message = "", .created_by = "", .expires_at = {}}));
}

}  // namespace
}  // namespace mezite::identity
