#include "agent/session/admission.hh"

#include <gmock/gmock.h>

#include "agent/session/testing.hh"

namespace mezite::agent {
namespace {

using testing::HasSubstr;
using testing::Not;

class AdmissionTest : public testing::Test {
 protected:
  Admission ask(const TestCluster::UserCertificate& wanted, std::string_view login = "ubuntu",
                std::string_view ip = "192.0.2.7") {
    TestCluster::UserCertificate full = wanted;
    if (full.principals.empty()) full.principals = "ubuntu,root";
    ssh::Certificate certificate = cluster.certificate(full);
    return admit({.certificate = certificate, .login = login, .client_ip = ip, .now = system_clock().now()}, snapshot,
                 node);
  }
  std::string code(const Admission& admission) {
    EXPECT_FALSE(admission.principal);
    return std::string(audit::info(admission.denial.kind).code);
  }

  TestCluster cluster;
  Snapshot snapshot = cluster.snapshot({TestCluster::role("dev", R"(["ubuntu"])")});
  NodeFacts node{.node_id = "node-1", .node_name = "web-01", .hostname = "h", .labels = {{"env", "dev"}}};
};

TEST_F(AdmissionTest, LetsInWhomTheRolesLetIn) {
  Admission admission = ask({.traits = R"({"team":["db","web"]})"});
  ASSERT_TRUE(admission.principal) << admission.denial.explanation;
  EXPECT_EQ(admission.principal->user, "alice");
  EXPECT_THAT(admission.principal->roles, testing::ElementsAre("dev"));
  EXPECT_THAT(admission.principal->traits["team"], testing::ElementsAre("db", "web"));
  EXPECT_TRUE(admission.principal->restrictions.pty);
}

TEST_F(AdmissionTest, EachRefusalHasItsCode) {
  EXPECT_EQ(code(ask({}, "root")), "T4007W");
  EXPECT_EQ(code(ask({}, "nobody")), "T4006W");
  EXPECT_EQ(code(ask({.ca = "foreign-ca"})), "T4004W");
  EXPECT_EQ(code(ask({.validity = "-2h:-1h"})), "T4002W");
  EXPECT_EQ(code(ask({.validity = "+1h:+2h"})), "T4003W");
  EXPECT_EQ(code(ask({.options = "-O source-address=203.0.113.0/24"})), "T4001W");
  node.labels = {{"env", "prod"}};
  EXPECT_EQ(code(ask({})), "T4008W");
}

TEST_F(AdmissionTest, TextsAboutTimeAreTheContracts) {
  EXPECT_EQ(ask({.validity = "-2h:-1h"}).denial.explanation, "ssh: certificate expired");
  EXPECT_THAT(ask({.validity = "-2h:-1h"}).denial.user_text, HasSubstr("msh login"));
  EXPECT_EQ(ask({.validity = "+1h:+2h"}).denial.explanation, "ssh: certificate not yet valid");
}

TEST_F(AdmissionTest, TheUserLearnsNothingOfRoles) {
  Admission admission = ask({}, "root");
  EXPECT_THAT(admission.denial.user_text, Not(HasSubstr("dev")));
  EXPECT_FALSE(admission.denial.steps.empty());
}

TEST_F(AdmissionTest, RolesMustBeAList) {
  for (std::string roles : {"", "\"dev\"", "{}", "[1]", "not json"}) {
    EXPECT_EQ(code(ask({.roles = roles})), "T4005W") << roles;
  }
  EXPECT_EQ(code(ask({.traits = "[]"})), "T4005W");
}

TEST_F(AdmissionTest, RolesThatAreGoneGiveNothing) {
  Admission admission = ask({.roles = R"(["gone"])"});
  ASSERT_FALSE(admission.principal);
  EXPECT_EQ(admission.denial.reason, "no_roles");
}

TEST_F(AdmissionTest, NobodyBeforeTheFirstSnapshot) {
  snapshot.revision = 0;
  EXPECT_EQ(ask({}).denial.reason, "no_snapshot");
}

TEST_F(AdmissionTest, LocksOfEachKindDeny) {
  for (const Lock& lock :
       {Lock{Lock::Kind::kUser, "alice", "left", SystemTime::max()},
        Lock{Lock::Kind::kRole, "dev", "", SystemTime::max()}, Lock{Lock::Kind::kNode, "web-01", "", SystemTime::max()},
        Lock{Lock::Kind::kNode, "node-1", "", SystemTime::max()},
        Lock{Lock::Kind::kLogin, "ubuntu", "", SystemTime::max()}}) {
    snapshot.locks = {lock};
    EXPECT_EQ(code(ask({})), "T4009W") << lock.name;
  }
  snapshot.locks = {Lock{Lock::Kind::kUser, "alice", "", system_clock().now() - std::chrono::seconds(1)},
                    Lock{Lock::Kind::kUser, "bob", "", SystemTime::max()}};
  EXPECT_TRUE(ask({}).principal);
}

TEST_F(AdmissionTest, WhatTheNodeCanNotDoIsNotSkipped) {
  snapshot = cluster.snapshot({TestCluster::role("dev", R"(["ubuntu"])", R"({"require_session_mfa":"totp"})")});
  EXPECT_EQ(ask({}).denial.reason, "session_mfa_required");
}

// Restrictions of the certificate and of the roles both count (x/crypto CVE-2026-39828, CVE-2026-46595).
TEST_F(AdmissionTest, RestrictionsAreOfCertificateAndRoles) {
  Admission admission = ask({.options = "-O clear -O permit-port-forwarding -O force-command=date"});
  ASSERT_TRUE(admission.principal) << admission.denial.explanation;
  EXPECT_FALSE(admission.principal->restrictions.pty);
  EXPECT_TRUE(admission.principal->restrictions.port_forwarding);
  EXPECT_THAT(admission.principal->restrictions.force_commands, testing::ElementsAre("date"));
  snapshot = cluster.snapshot({TestCluster::role("dev", R"(["ubuntu"])", R"({"port_forwarding":false})")});
  admission = ask({});
  ASSERT_TRUE(admission.principal);
  EXPECT_FALSE(admission.principal->restrictions.port_forwarding);
}

TEST_F(AdmissionTest, WhoIsInIsLookedAtAgain) {
  Admission admission = ask({});
  ASSERT_TRUE(admission.principal);
  SystemTime now = system_clock().now();
  EXPECT_FALSE(reconsider(*admission.principal, snapshot, node, now).denial);
  Snapshot locked = snapshot;
  locked.locks = {Lock{Lock::Kind::kUser, "alice", "", SystemTime::max()}};
  EXPECT_TRUE(reconsider(*admission.principal, locked, node, now).denial);
  Snapshot changed = cluster.snapshot({TestCluster::role("dev", R"(["other"])")});
  EXPECT_TRUE(reconsider(*admission.principal, changed, node, now).denial);
}

TEST_F(AdmissionTest, RightsThatRolesTakeBackAreGone) {
  Admission admission = ask({});
  ASSERT_TRUE(admission.principal);
  SystemTime now = system_clock().now();
  Snapshot narrower = cluster.snapshot(
      {TestCluster::role("dev", R"(["ubuntu"])", R"({"port_forwarding":false,"client_idle_timeout":"1h"})")});
  Reconsidered again = reconsider(*admission.principal, narrower, node, now);
  ASSERT_FALSE(again.denial);
  EXPECT_FALSE(again.principal.restrictions.port_forwarding);
  EXPECT_TRUE(again.principal.restrictions.agent_forwarding);
  EXPECT_EQ(again.principal.options.client_idle_timeout, std::chrono::hours(1));
  // Given back by a new connection only: the certificate may be what forbade it.
  EXPECT_FALSE(reconsider(again.principal, snapshot, node, now).principal.restrictions.port_forwarding);
}

}  // namespace
}  // namespace mezite::agent
