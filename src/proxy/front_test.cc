#include <gtest/gtest.h>

#include "identity/locks.hh"
#include "proxy/testing.hh"

namespace mezite::proxy {
namespace {

using namespace std::chrono_literals;
using testing::FakeAgent;
using testing::Hub;
using testing::Ran;

class FrontTest : public ::testing::Test {
 protected:
  void SetUp() override {
    web_ = hub_.add_node("web-01", {{"env", "dev"}});
    hub_.add_user("alice");
    agent_ = FakeAgent::connect(hub_, web_);
    ASSERT_TRUE(agent_->authenticated.take());
    hub_.wait_event("node.connected", {web_.id});
  }
  Ran reach(const std::string& node, const std::string& input = "hello", const std::string& identity = {}) {
    return hub_.ssh(identity.empty() ? hub_.identity_file("alice") : identity, "alice", "-W " + node, {}, input);
  }

  Hub hub_;
  Hub::Node web_;
  std::shared_ptr<FakeAgent> agent_;
};

TEST_F(FrontTest, StockSshReachesANodeByItsName) {
  Ran ran = reach("web-01:22");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "hello");
  auto dial = agent_->dialled.take();
  ASSERT_TRUE(dial);
  EXPECT_TRUE(dial->client_address().starts_with("127.0.0.1:")) << dial->client_address();
  EXPECT_EQ(dial->user(), "alice");
  EXPECT_GT(dial->least_revision(), 0);
  EXPECT_EQ(reach("web-01.test.example:22").out, "hello");
  EXPECT_EQ(reach("web-01:3022").out, "hello");
  std::string bulk(20 << 20, 'x');
  for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = static_cast<char>(i * 2654435761u >> 13);
  EXPECT_TRUE(reach("web-01:22", bulk).out == bulk);
}

// Teleport GHSA-c9v7, GHSA-hw4x: shells, commands, files and free addresses on the proxy's own port.
TEST_F(FrontTest, NothingButNodesCanBeReached) {
  std::string id = hub_.identity_file("alice");
  for (const char* target : {"127.0.0.1:22", "localhost:8443", "web-01:80", "169.254.169.254:80", "[::1]:22"}) {
    Ran ran = reach(target, "", id);
    EXPECT_NE(ran.code, 0) << target;
    EXPECT_EQ(ran.out, "") << target;
    EXPECT_NE(ran.err.find("nodes only"), std::string::npos) << target << ": " << ran.err;
  }
  hub_.wait_event("access.denied", {"T4012W", "169.254.169.254", "alice"});
  EXPECT_EQ(hub_.ssh(id, "alice", "", "id").code, 255);
  EXPECT_EQ(hub_.ssh(id, "alice", "-s", "sftp").code, 255);
  Ran shell = hub_.ssh(id, "alice", "");
  EXPECT_EQ(shell.code, 255);
  EXPECT_NE(shell.err.find("ssh -J"), std::string::npos) << shell.err;
  hub_.wait_event("access.denied", {"T4012W", "'session'"});
  EXPECT_EQ(hub_.ssh(id, "alice", "-N -R 0:127.0.0.1:1 -o ExitOnForwardFailure=yes").code, 255);
  hub_.wait_event("access.denied", {"T4012W", "tcpip-forward"});
}

TEST_F(FrontTest, UnknownNodesAndThoseOfOthersAreAnsweredAlike) {
  Hub::Node db = hub_.add_node("db-01", {{"env", "prod"}});
  auto db_agent = FakeAgent::connect(hub_, db, {.env = "prod"});
  hub_.wait_event("node.connected", {db.id});
  auto without_id = [](std::string text, const std::string& name) {
    std::size_t at = text.find("(event ");
    if (at != std::string::npos) text.erase(at, 44);
    for (std::size_t i = 0; (i = text.find(name)) != std::string::npos;) text.replace(i, name.size(), "NODE");
    return text;
  };
  Ran unknown = reach("no-such-node:22");
  Ran denied = reach("db-01:22");
  EXPECT_NE(unknown.code, 0);
  EXPECT_NE(unknown.err.find("msh ls"), std::string::npos) << unknown.err;
  std::string event = hub_.wait_event("access.denied", {"T4010W", "no-such-node"});
  std::string other = hub_.wait_event("access.denied", {"T4008W", "db-01"});
  EXPECT_EQ(without_id(unknown.err, "no-such-node"), without_id(denied.err, "db-01"));
  EXPECT_FALSE(db_agent->dialled.full());
}

TEST_F(FrontTest, OnlyCertificatesOfTheUserCaCount) {
  auto key = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  EXPECT_EQ(reach("web-01:22", "", hub_.identity_file_with("bare", key, {})).code, 255);
  hub_.wait_event("access.denied", {"T4015W"});

  auto foreign = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  ssh::CertificateRequest request{.public_key = key.public_key(), .key_id = "alice", .principals = {"deploy"}};
  request.valid_after = system_clock().now() - 1h;
  request.valid_before = system_clock().now() + 1h;
  auto certificate = ssh::sign_certificate(request, foreign);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(reach("web-01:22", "", hub_.identity_file_with("foreign", key, certificate->to_text())).code, 255);
  hub_.wait_event("access.denied", {"T4004W", "unknown CA"});

  // A host certificate is none of a user's, whoever signed it.
  EXPECT_EQ(reach("web-01:22", "", hub_.identity_file_with("host", *web_.key, web_.certificate->to_text())).code, 255);
  EXPECT_FALSE(agent_->dialled.full());
}

TEST_F(FrontTest, RefusalsNameTheEventAndThatTheCause) {
  std::string short_lived = hub_.identity_file("alice", [](pki::UserCertificateRequest& request) { request.ttl = 1s; });
  std::this_thread::sleep_for(2s);  // OpenSSH's own clock decides whether it shows the certificate at all
  Ran expired = reach("web-01:22", "", short_lived);
  EXPECT_EQ(expired.code, 255);
  EXPECT_NE(expired.err.find("ssh: certificate expired"), std::string::npos) << expired.err;
  std::string event = hub_.wait_event("access.denied", {"T4002W", "expired", "alice"});
  std::size_t id = expired.err.find("(event ");
  ASSERT_NE(id, std::string::npos);
  EXPECT_NE(event.find(expired.err.substr(id + 7, 36)), std::string::npos);

  std::string pinned = hub_.identity_file(
      "alice", [](pki::UserCertificateRequest& request) { request.source_address = "127.0.0.1/32"; });
  EXPECT_EQ(reach("web-01:22", "hello", pinned).out, "hello");
  EXPECT_EQ(hub_.ssh(pinned, "alice", "-b 127.0.0.2 -W web-01:22").code, 255);
  hub_.wait_event("access.denied", {"T4001W", "127.0.0.2"});

  EXPECT_EQ(hub_.ssh(hub_.identity_file("alice"), "oscar", "-W web-01:22").code, 255);
  hub_.wait_event("access.denied", {"T4006W", "oscar"});
}

TEST_F(FrontTest, LockedAndDeletedUsersAreRefused) {
  std::string id = hub_.identity_file("alice");
  auto lock = hub_.services->identity->locks.create({.kind = "user", .name = "alice", .message = "left the company"});
  ASSERT_TRUE(lock) << lock.error().message;
  Ran locked = reach("web-01:22", "", id);
  EXPECT_EQ(locked.code, 255);
  EXPECT_EQ(locked.err.find("left the company"), std::string::npos) << "the reason is for admins only";
  hub_.wait_event("access.denied", {"T4009W", "left the company"});
  ASSERT_TRUE(hub_.services->identity->locks.remove(lock->id));
  EXPECT_EQ(reach("web-01:22", "hello", id).out, "hello");
  hub_.add_user("root-like");
  ASSERT_TRUE(hub_.services->identity->users.remove("alice"));
  EXPECT_EQ(reach("web-01:22", "", id).code, 255);
  hub_.wait_event("access.denied", {"deleted"});
}

TEST_F(FrontTest, ANodeThatIsAwayOrCannotDialIsNamed) {
  hub_.add_node("off-01", {{"env", "dev"}});
  Ran off = reach("off-01:22");
  EXPECT_NE(off.err.find("node 'off-01' is not connected; last seen never"), std::string::npos) << off.err;
  hub_.wait_event("access.denied", {"T4011W", "off-01"});
  auto broken = hub_.add_node("broken-01", {{"env", "dev"}});
  auto agent = FakeAgent::connect(hub_, broken, {.refuse_dials = true});
  hub_.wait_event("node.connected", {broken.id});
  Ran refused = reach("broken-01:22");
  EXPECT_NE(refused.err.find("could not dial back: out of descriptors"), std::string::npos) << refused.err;
}

TEST_F(FrontTest, AScannerThatWaitsIsAnswered) {
  auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->ssh_port()}, 5s);
  ASSERT_TRUE(connected);
  EXPECT_EQ(net::testing::receive(connected->fd.get(), 8), "SSH-2.0-");
}

// DHeat and its simpler kin: connections that never authenticate keep nobody out.
TEST_F(FrontTest, AFloodOfHalfOpenConnectionsKeepsNobodyOut) {
  std::string id = hub_.identity_file("alice");
  std::vector<UniqueFd> flood;
  for (int i = 0; i < 600; ++i) {
    auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->ssh_port()}, 5s);
    ASSERT_TRUE(connected);
    if (i % 2 == 0) net::testing::send_all(connected->fd.get(), "SSH-2.0-flood\r\n");
    flood.push_back(std::move(connected->fd));
  }
  EXPECT_EQ(reach("web-01:22", "hello", id).out, "hello");
}

TEST_F(FrontTest, AGreetingOfTheAgentIsNotLost) {
  auto eager_node = hub_.add_node("eager-01", {{"env", "dev"}});
  auto eager = FakeAgent::connect(hub_, eager_node, {.greeting = "SSH-2.0-agent\r\n"});
  hub_.wait_event("node.connected", {eager_node.id});
  EXPECT_EQ(reach("eager-01:22", "x").out, "SSH-2.0-agent\r\nx");
}

}  // namespace
}  // namespace mezite::proxy
