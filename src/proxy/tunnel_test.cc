#include <gtest/gtest.h>

#include "proxy/one_time.hh"
#include "proxy/testing.hh"

namespace mezite::proxy {
namespace {

using namespace std::chrono_literals;
using testing::FakeAgent;
using testing::Hub;

TEST(OneTimeBook, WorksOnceInItsTimeAndIsBounded) {
  ManualClock clock;
  OneTimeBook<int> book(30s, 2, clock);
  auto one = book.put(1);
  auto two = book.put(2);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->size(), 43u);
  EXPECT_FALSE(book.put(3)) << "full";
  EXPECT_EQ(book.take(*one), 1);
  EXPECT_EQ(book.take(*one), std::nullopt) << "replayed";
  EXPECT_EQ(book.take("unknown"), std::nullopt);
  clock.advance(30s);
  EXPECT_EQ(book.take(*two), std::nullopt) << "expired";
  EXPECT_EQ(book.size(), 0u);
  EXPECT_TRUE(book.put(4));
}

TEST(ControlFrames, AreReadInPiecesAndBounded) {
  FrameReader reader;
  std::vector<std::string> seen;
  auto keep = [&](BytesView frame) -> Status {
    seen.push_back(to_text(frame));
    return {};
  };
  Bytes both = make_frame("one");
  Bytes two = make_frame("two");
  both.insert(both.end(), two.begin(), two.end());
  for (std::uint8_t byte : both) ASSERT_TRUE(reader.feed({&byte, 1}, keep));
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "two"}));
  for (Bytes bad : {Bytes{0, 0, 0, 0}, Bytes{0, 1, 0, 1}, Bytes{0xff, 0xff, 0xff, 0xff}}) {
    FrameReader fresh;
    EXPECT_FALSE(fresh.feed(bad, keep));
  }
}

class TunnelTest : public ::testing::Test {
 protected:
  void SetUp() override { web_ = hub_.add_node("web-01", {{"env", "dev"}}); }
  Hub hub_;
  Hub::Node web_;
};

TEST_F(TunnelTest, AnAgentConnectsAndReports) {
  EXPECT_FALSE(hub_.services->is_connected(web_.id));
  auto agent = FakeAgent::connect(hub_, web_);
  hub_.wait_event("node.connected", {web_.id, "web-01"});
  EXPECT_TRUE(hub_.services->is_connected(web_.id));
  hub_.services->announce_revision();
  EXPECT_TRUE(agent->refreshed.take());
  hub_.services->stop_workers();  // which store the report first
  auto node = hub_.services->identity->nodes.get(web_.id);
  ASSERT_TRUE(node);
  EXPECT_EQ(node->hostname, "host.internal");
  EXPECT_TRUE(node->last_heartbeat);
}

TEST_F(TunnelTest, TheNewestControlConnectionWins) {
  auto first = FakeAgent::connect(hub_, web_);
  hub_.wait_event("node.connected", {web_.id});
  auto second = FakeAgent::connect(hub_, web_);
  auto why = first->closed.take();
  ASSERT_TRUE(why);
  EXPECT_NE(why->message.find("newer"), std::string::npos) << why->message;
  EXPECT_TRUE(hub_.services->is_connected(web_.id));
  EXPECT_FALSE(second->closed.full());
}

TEST_F(TunnelTest, AnotherNodesIdCannotBeClaimed) {
  Hub::Node victim = hub_.add_node("db-01", {});
  auto thief = FakeAgent::connect(hub_, web_, {.user = victim.id});
  EXPECT_TRUE(thief->closed.take());
  hub_.wait_event("node.rejected", {victim.id});
  EXPECT_FALSE(hub_.services->is_connected(victim.id));

  // Nor by a node that has the other's id for its name: then it is a principal, but not the first.
  auto named = web_;
  named.certificate = *hub_.services->authority->issue_host_certificate({web_.id, {victim.id}, web_.key->public_key()});
  auto second = FakeAgent::connect(hub_, named, {.user = victim.id});
  EXPECT_TRUE(second->closed.take());
  hub_.wait_event("node.rejected", {"foreign_id"});
  EXPECT_FALSE(hub_.services->is_connected(victim.id));
}

TEST_F(TunnelTest, UserCertificatesAndPlainKeysAreRefused) {
  hub_.add_user("alice");
  auto user = web_;
  user.certificate = *hub_.services->authority->sign_user_certificate(
      {.user = web_.id, .public_key = web_.key->public_key(), .logins = {web_.id}, .roles = {"dev"}, .ttl = 1h});
  EXPECT_TRUE(FakeAgent::connect(hub_, user)->closed.take());
  hub_.wait_event("node.rejected", {web_.id});
  auto bare = web_;
  bare.certificate.reset();
  EXPECT_TRUE(FakeAgent::connect(hub_, bare)->closed.take());
  hub_.wait_event("node.rejected", {"no_certificate"});
  EXPECT_FALSE(hub_.services->is_connected(web_.id));
}

TEST_F(TunnelTest, ARemovedNodeIsDisconnectedAndStaysOut) {
  auto agent = FakeAgent::connect(hub_, web_);
  hub_.wait_event("node.connected", {web_.id});
  ASSERT_TRUE(hub_.services->identity->nodes.remove(web_.id));
  hub_.services->announce_node_removed(web_.id);
  EXPECT_NE(agent->closed.take()->message.find("removed"), std::string::npos);
  auto again = FakeAgent::connect(hub_, web_);
  EXPECT_NE(again->closed.take()->message.find("join again"), std::string::npos);
  hub_.wait_event("node.rejected", {"removed"});
}

// Replayed, expired and foreign dial-back tokens.
TEST_F(TunnelTest, DialTokensOfNobodyAreClosedAndAudited) {
  auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->tunnel_port()}, 5s);
  ASSERT_TRUE(connected);
  net::testing::send_all(connected->fd.get(), "MEZITE-DIAL/1 " + std::string(43, 'A') + "\nSSH-2.0-x\r\n");
  EXPECT_EQ(net::testing::receive(connected->fd.get()), "");
  hub_.wait_event("access.denied", {"T4014W", "dial token"});
}

TEST_F(TunnelTest, OtherProtocolsAndHalfSentencesAreClosed) {
  for (std::string bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("MEZITE-DIAL/2 x\n"),
                            std::string(4096, 'M'), "MEZITE-DIAL/1 " + std::string(4096, 'A')}) {
    auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->tunnel_port()}, 5s);
    ASSERT_TRUE(connected);
    net::testing::send_all(connected->fd.get(), bytes);
    EXPECT_EQ(net::testing::receive(connected->fd.get()), "") << bytes.substr(0, 20);
  }
}

}  // namespace
}  // namespace mezite::proxy
