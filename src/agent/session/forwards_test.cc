// Remote forwards as no stock client asks for them: many at once, cancelled while they are being made, past the bounds.
#include "agent/session/forwards.hh"

#include <gmock/gmock.h>

#include "agent/session/test_client.hh"
#include "base/log.hh"

namespace mezite::agent {
namespace {

using testing::HasSubstr;

class ForwardsTest : public testing::Test {
 protected:
  ForwardsTest() {
    log::set_level(log::Level::kError);
    node.snapshots.put(cluster.snapshot({TestCluster::role("dev", "[\"" + own_name() + "\"]")}));
  }
  std::string path(int number) { return folder / ("s" + std::to_string(number)); }
  int sockets() {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.str())) ++count;
    return count;
  }

  TestCluster cluster;
  TestNode node{cluster};
  ScratchFolder folder;
};

// OpenSSH CVE-2026-73282: additions and cancellations of one forward, in flight together.
TEST_F(ForwardsTest, AddingAndCancellingAtOnce) {
  TestClient client(node, cluster.user({}));
  ASSERT_TRUE(client.authenticated()) << client.farewell();
  constexpr int kPaths = 30;
  int granted = 0;
  int refused = 0;
  auto count = [&](std::optional<BytesView> reply) { ++(reply ? granted : refused); };
  for (int i = 0; i < kPaths; ++i) {
    client.endpoint().global_request(ssh::StreamlocalForwardRequest{path(i)}, count);
    client.endpoint().global_request(ssh::CancelStreamlocalForwardRequest{path(i)}, count);
    client.endpoint().global_request(ssh::CancelStreamlocalForwardRequest{path(i)}, count);  // gone already
    client.endpoint().global_request(ssh::StreamlocalForwardRequest{path(i)}, count);
  }
  client.wait([&] { return granted + refused == 4 * kPaths; });
  EXPECT_EQ(granted, 3 * kPaths);
  EXPECT_EQ(refused, kPaths);
  EXPECT_EQ(sockets(), kPaths);
  for (int i = 0; i < kPaths; ++i) {
    client.endpoint().global_request(ssh::CancelStreamlocalForwardRequest{path(i)}, count);
  }
  client.wait([&] { return sockets() == 0; });
}

TEST_F(ForwardsTest, AConnectionThatEndsAmidAdditionsLeavesNothing) {
  for (int round = 0; round < 5; ++round) {
    TestClient client(node, cluster.user({}));
    ASSERT_TRUE(client.authenticated()) << client.farewell();
    int answers = 0;
    for (int i = 0; i < 40; ++i) {
      client.endpoint().global_request(ssh::StreamlocalForwardRequest{path(i)},
                                       [&](std::optional<BytesView>) { ++answers; });
    }
    client.wait([&] { return answers >= round * 5; });
    client.endpoint().disconnect("enough");
    client.wait([&] { return sockets() == 0 && node.server->connections() == 0; });
  }
}

TEST_F(ForwardsTest, PortsAreAddedAndCancelled) {
  TestClient client(node, cluster.user({}));
  std::uint32_t port = 0;
  client.endpoint().global_request(ssh::TcpipForwardRequest{"localhost", 0}, [&](std::optional<BytesView> reply) {
    port = ssh::forwarded_port(reply).value_or(1);
  });
  client.wait([&] { return port != 0; });
  ASSERT_GT(port, 1024u);
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"localhost", port}), false) << "it is taken";
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"", port}), false) << "by whatever name";
  EXPECT_EQ(client.ask(ssh::CancelTcpipForwardRequest{"", port}), false) << "which is not the one it was made by";
  EXPECT_EQ(client.ask(ssh::CancelTcpipForwardRequest{"localhost", port}), true);
  EXPECT_EQ(client.ask(ssh::CancelTcpipForwardRequest{"localhost", port}), false);
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"localhost", port}), true);
  // Somebody connects: the client is asked under the name that it gave, and refuses, which closes the socket.
  auto connected = net::connect_blocking({"127.0.0.1", static_cast<std::uint16_t>(port)}, std::chrono::seconds(5));
  ASSERT_TRUE(connected);
  ASSERT_TRUE(net::prepare_socket(connected->fd.get()));
  char byte = 0;
  client.wait([&] {
    ssize_t n = ::read(connected->fd.get(), &byte, 1);
    return n == 0 || (n < 0 && errno != EAGAIN);
  });
}

TEST_F(ForwardsTest, TheirNumberIsBounded) {
  TestClient client(node, cluster.user({}));
  for (std::size_t i = 0; i < kMaxRemoteForwards; ++i) {
    ASSERT_EQ(client.ask(ssh::StreamlocalForwardRequest{path(static_cast<int>(i))}), true) << i;
  }
  EXPECT_EQ(client.ask(ssh::StreamlocalForwardRequest{path(1000)}), false);
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"localhost", 0}), false);
  EXPECT_EQ(client.ask(ssh::CancelStreamlocalForwardRequest{path(0)}), true);
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"localhost", 0}), true);
}

// A million refused opens with flat memory (x/crypto CVE-2026-39827) is the library's test; here: what fails to connect
// leaves nothing open on the node.
TEST_F(ForwardsTest, FailedConnectsLeaveNothing) {
  TestClient client(node, cluster.user({}));
  auto descriptors = [] {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  };
  client.open(ssh::DirectStreamlocalOpen{folder / "nothing"});
  const int before = descriptors();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client.open(ssh::DirectStreamlocalOpen{folder / "nothing"})->refused);
    ASSERT_TRUE(client.open(ssh::DirectTcpipOpen{"127.0.0.1", 1, "127.0.0.1", 1})->refused);
  }
  EXPECT_LE(descriptors(), before + 8);
  EXPECT_FALSE(client.closed());
}

// A forwarded connection that is open and silent is no use of the connection; one that moves bytes is.
TEST_F(ForwardsTest, IdleTimeoutCountsForwardedBytes) {
  node.snapshots.put(
      cluster.snapshot({TestCluster::role("dev", "[\"" + own_name() + "\"]", R"({"client_idle_timeout":"2s"})")}, 2));
  TestClient client(node, cluster.user({}));
  auto silent = client.open(ssh::DirectTcpipOpen{"127.0.0.1", node.port(), "127.0.0.1", 1});
  ASSERT_TRUE(silent->open);
  const SteadyTime begin = system_clock().steady();
  // The node's own port: each connection says its identification line, which is traffic.
  while (system_clock().steady() - begin < std::chrono::seconds(4)) {
    auto chatty = client.open(ssh::DirectTcpipOpen{"127.0.0.1", node.port(), "127.0.0.1", 1});
    ASSERT_TRUE(chatty->open) << client.farewell();
    client.wait([&] { return !chatty->out.empty(); });
    chatty->channel.close();
    const SteadyTime pause = system_clock().steady() + std::chrono::milliseconds(300);
    client.wait([&] { return system_clock().steady() > pause; });
  }
  EXPECT_FALSE(client.closed());
  client.wait([&] { return client.closed(); });
  EXPECT_THAT(client.farewell(), HasSubstr("idle"));
}

}  // namespace
}  // namespace mezite::agent
