// Every way in × every reason to keep somebody out: nothing may slip through by another type of channel or request
// (The Bastion CVE-2023-45140).
#include <gmock/gmock.h>
#include <sys/un.h>

#include <functional>
#include <map>

#include "agent/session/test_client.hh"
#include "base/log.hh"

namespace mezite::agent {
namespace {

using testing::HasSubstr;
using Opened = TestClient::Opened;

// What a client can ask for on a connection that it has. Says whether it got it.
struct Way {
  const char* name;
  const char* option;  // of the roles; null: none
  std::function<bool(TestClient&, const std::string& socket, std::uint16_t port)> try_it;
};

// A session that was opened while it was allowed.
using Session = std::shared_ptr<Opened>;

bool opens(TestClient& client, const ssh::ChannelOpen& open) { return client.open(open)->open; }

// Whether a program ran; a refused one is granted and ends at once, so that its reason is shown.
bool runs(TestClient& client, const ssh::ChannelRequest& request) {
  auto session = client.open(ssh::SessionOpen{});
  if (!session->open || client.closed()) return false;
  if (!client.ask(session, request).value_or(false)) return false;
  if (std::holds_alternative<ssh::ShellRequest>(request)) session->channel.write(as_bytes("echo it-runs\n"));
  if (std::holds_alternative<ssh::SubsystemRequest>(request)) {
    session->channel.write(Bytes{0, 0, 0, 5, 1, 0, 0, 0, 3});  // SSH_FXP_INIT
    // sftp-server says nothing more once it has seen the end of its input.
    client.wait([&] { return !session->out.empty() || session->closed || client.closed(); });
  }
  session->channel.send_eof();
  client.wait([&] { return session->closed || client.closed(); });
  return session->out.find("it-runs") != std::string::npos || session->out.find('\2') != std::string::npos;
}

const std::vector<Way>& ways() {
  static const std::vector<Way> all = {
      {"shell", nullptr, [](TestClient& c, const std::string&, std::uint16_t) { return runs(c, ssh::ShellRequest{}); }},
      {"exec", nullptr,
       [](TestClient& c, const std::string&, std::uint16_t) { return runs(c, ssh::ExecRequest{"echo it-runs"}); }},
      {"sftp", "file_copy",
       [](TestClient& c, const std::string&, std::uint16_t) { return runs(c, ssh::SubsystemRequest{"sftp"}); }},
      {"agent", "agent_forwarding",
       [](TestClient& c, const std::string&, std::uint16_t) {
         auto session = c.open(ssh::SessionOpen{});
         return session->open && c.ask(session, ssh::AgentForwardRequest{}).value_or(false);
       }},
      {"x11", "x11_forwarding",
       [](TestClient& c, const std::string&, std::uint16_t) {
         auto session = c.open(ssh::SessionOpen{});
         return session->open && c.ask(session, ssh::X11Request{.single_connection = false,
                                                                .protocol = "MIT-MAGIC-COOKIE-1",
                                                                .cookie = "00112233445566778899aabbccddeeff",
                                                                .screen = 0})
                                     .value_or(false);
       }},
      {"direct-tcpip", "port_forwarding",
       [](TestClient& c, const std::string&, std::uint16_t port) {
         return opens(c, ssh::DirectTcpipOpen{"127.0.0.1", port, "127.0.0.1", 1});
       }},
      {"direct-streamlocal", "port_forwarding",
       [](TestClient& c, const std::string& socket, std::uint16_t) {
         return opens(c, ssh::DirectStreamlocalOpen{socket});
       }},
      {"tcpip-forward", "port_forwarding",
       [](TestClient& c, const std::string&, std::uint16_t) {
         return c.ask(ssh::TcpipForwardRequest{"localhost", 0}).value_or(false);
       }},
      {"streamlocal-forward", "port_forwarding",
       [](TestClient& c, const std::string& socket, std::uint16_t) {
         return c.ask(ssh::StreamlocalForwardRequest{socket + ".new"}).value_or(false);
       }},
  };
  return all;
}

class RightsTest : public testing::Test {
 protected:
  RightsTest() { log::set_level(log::Level::kError); }

  std::string logins() { return "[\"" + own_name() + "\"]"; }
  Snapshot snapshot(const std::string& options, std::int64_t revision) {
    return cluster.snapshot({TestCluster::role("dev", logins(), options)}, revision);
  }
  // Something that listens at a path, for direct-streamlocal.
  std::string listening_socket() {
    std::string path = folder / "socket";
    if (std::filesystem::exists(path)) return path;
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    return path;
  }

  TestCluster cluster;
  ScratchFolder folder;
  UniqueFd listener_;
};

TEST_F(RightsTest, EveryWayIsOpenToWhoMay) {
  TestNode node(cluster);
  node.snapshots.put(snapshot("{}", 1));
  std::string identity = cluster.user({});
  for (const Way& way : ways()) {
    TestClient client(node, identity);
    ASSERT_TRUE(client.authenticated()) << client.farewell();
    EXPECT_TRUE(way.try_it(client, listening_socket(), node.port())) << way.name;
  }
}

// A change that has reached the agent is in force for the next thing that is asked for, though nobody has told the
// connection yet (no recheck() here).
TEST_F(RightsTest, NothingSlipsThroughOnAConnectionThatWasLetIn) {
  struct Change {
    const char* name;
    const char* code;
    std::function<void(TestNode&, std::int64_t revision)> make;
  };
  auto lock = [this](Lock::Kind kind, std::string name) {
    return [this, kind, name](TestNode& node, std::int64_t revision) {
      Snapshot locked = snapshot("{}", revision);
      locked.locks = {Lock{kind, name, "", SystemTime::max()}};
      node.snapshots.put(std::move(locked));
    };
  };
  const std::vector<Change> changes = {
      {"locked user", "T4009W", lock(Lock::Kind::kUser, "alice")},
      {"locked role", "T4009W", lock(Lock::Kind::kRole, "dev")},
      {"locked node", "T4009W", lock(Lock::Kind::kNode, "web-01")},
      {"locked login", "T4009W", lock(Lock::Kind::kLogin, own_name())},
      {"login taken from the roles", "T4007W",
       [this](TestNode& node, std::int64_t revision) {
         node.snapshots.put(cluster.snapshot({TestCluster::role("dev", R"(["other"])")}, revision));
       }},
      {"role deleted", "T4008W",
       [this](TestNode& node, std::int64_t revision) { node.snapshots.put(cluster.snapshot({}, revision)); }},
      {"second factor required", "T4000W",
       [this](TestNode& node, std::int64_t revision) {
         node.snapshots.put(snapshot(R"({"require_session_mfa":"totp"})", revision));
       }},
      {"labels changed", "T4008W",
       [](TestNode& node, std::int64_t) {
         node.node.put({.node_id = "node-1", .node_name = "web-01", .hostname = "host", .labels = {{"env", "prod"}}});
       }},
  };
  std::string identity = cluster.user({});
  for (const Change& change : changes) {
    TestNode node(cluster);
    std::int64_t revision = 1;
    for (const Way& way : ways()) {
      node.node.put({.node_id = "node-1", .node_name = "web-01", .hostname = "host", .labels = {{"env", "dev"}}});
      node.snapshots.put(snapshot("{}", revision++));
      TestClient client(node, identity);
      ASSERT_TRUE(client.authenticated()) << change.name << ": " << client.farewell();
      const std::size_t before = node.events.count("access.denied");
      change.make(node, revision++);
      EXPECT_FALSE(way.try_it(client, listening_socket(), node.port())) << way.name << " with " << change.name;
      audit::Event event = node.events.wait("access.denied", before);
      EXPECT_EQ(event.event_code, change.code) << way.name << " with " << change.name;
      client.wait([&] { return client.closed(); });  // and the rest of the connection goes
    }
  }
}

TEST_F(RightsTest, NothingIsOpenedWithAnExpiredCertificate) {
  // disconnect_expired_cert: false lets what runs go on, and nothing new begin.
  TestNode node(cluster);
  node.snapshots.put(snapshot(R"({"disconnect_expired_cert":false})", 1));
  std::string identity = cluster.user({.validity = "-1m:+4s"});
  std::vector<std::unique_ptr<TestClient>> clients;
  for (std::size_t i = 0; i <= ways().size(); ++i) {
    clients.push_back(std::make_unique<TestClient>(node, identity));
    ASSERT_TRUE(clients.back()->authenticated()) << clients.back()->farewell();
  }
  auto running = clients.back()->open(ssh::SessionOpen{});
  ASSERT_TRUE(clients.back()->ask(running, ssh::ExecRequest{"cat"}).value_or(false));
  SystemTime end = from_unix_seconds(
      static_cast<std::int64_t>(ssh::Certificate::from_text(slurp(identity + "-cert.pub")).value().valid_before()));
  clients[0]->wait([&] { return system_clock().now() > end; });
  for (std::size_t i = 0; i < ways().size(); ++i) {
    EXPECT_FALSE(ways()[i].try_it(*clients[i], listening_socket(), node.port())) << ways()[i].name;
    EXPECT_FALSE(clients[i]->closed()) << ways()[i].name;
    audit::Event event = node.events.wait("access.denied", i);
    EXPECT_EQ(event.event_code, "T4002W") << ways()[i].name;
  }
  running->channel.write(as_bytes("still here\n"));
  clients.back()->wait([&] { return running->out == "still here\n"; });
}

TEST_F(RightsTest, EachOptionTakesItsWaysAndNoOther) {
  std::string identity = cluster.user({});
  for (std::string_view option : {"port_forwarding", "agent_forwarding", "x11_forwarding", "file_copy"}) {
    TestNode node(cluster);
    node.snapshots.put(snapshot("{\"" + std::string(option) + "\":false}", 1));
    std::size_t denials = 0;
    for (const Way& way : ways()) {
      TestClient client(node, identity);
      ASSERT_TRUE(client.authenticated()) << client.farewell();
      const bool expected = !way.option || way.option != option;
      EXPECT_EQ(way.try_it(client, listening_socket(), node.port()), expected) << way.name << " without " << option;
      if (expected) continue;
      audit::Event event = node.events.wait("access.denied", denials++);
      EXPECT_THAT(event.details, HasSubstr("\"reason\":\"" + std::string(option) + "\"")) << way.name;
      EXPECT_EQ(event.event_code, option == "file_copy" ? "T4000W" : "T4013W");
      EXPECT_EQ(event.user_name, "alice");
      EXPECT_FALSE(event.success);
    }
  }
}

// What the certificate does not permit is not had by roles that do.
TEST_F(RightsTest, TheCertificatesOwnPermissionsCount) {
  TestNode node(cluster);
  node.snapshots.put(snapshot("{}", 1));
  std::string identity = cluster.user({.options = "-O clear -O permit-pty"});
  for (const Way& way : ways()) {
    TestClient client(node, identity);
    ASSERT_TRUE(client.authenticated()) << client.farewell();
    const bool expected = !way.option || way.option == std::string_view("file_copy");
    EXPECT_EQ(way.try_it(client, listening_socket(), node.port()), expected) << way.name;
  }
}

TEST_F(RightsTest, AChangedRoleTakesWhatItGave) {
  TestNode node(cluster);
  node.snapshots.put(snapshot("{}", 1));
  TestClient client(node, cluster.user({}));
  ASSERT_TRUE(client.authenticated());
  ASSERT_TRUE(client.ask(ssh::StreamlocalForwardRequest{folder / "remote"}).value_or(false));
  auto forwarded = client.open(ssh::DirectStreamlocalOpen{listening_socket()});
  ASSERT_TRUE(forwarded->open);
  auto session = client.open(ssh::SessionOpen{});
  ASSERT_TRUE(client.ask(session, ssh::ExecRequest{"cat"}).value_or(false));
  node.snapshots.put(snapshot(R"({"port_forwarding":false})", 2));
  node.server->recheck();
  client.wait([&] { return forwarded->closed && !std::filesystem::exists(folder / "remote"); });
  session->channel.write(as_bytes("unharmed\n"));
  client.wait([&] { return session->out == "unharmed\n"; });
}

TEST_F(RightsTest, TheDenialIsShownWithItsReasonAndEvent) {
  TestNode node(cluster);
  node.snapshots.put(
      snapshot(R"({"port_forwarding":false,"agent_forwarding":false,"x11_forwarding":false,"file_copy":false})", 1));
  TestClient client(node, cluster.user({}));
  auto refused = client.open(ssh::DirectTcpipOpen{"127.0.0.1", 1, "127.0.0.1", 1});
  EXPECT_THAT(refused->text, HasSubstr("port forwarding is not allowed (event "));
  EXPECT_EQ(client.ask(ssh::TcpipForwardRequest{"localhost", 8080}), false);
  auto session = client.open(ssh::SessionOpen{});
  EXPECT_EQ(client.ask(session, ssh::AgentForwardRequest{}), false);
  EXPECT_EQ(client.ask(session, ssh::X11Request{.single_connection = false,
                                                .protocol = "MIT-MAGIC-COOKIE-1",
                                                .cookie = "00112233445566778899aabbccddeeff",
                                                .screen = 0}),
            false);
  EXPECT_EQ(client.ask(session, ssh::ExecRequest{"echo it-runs"}), true);
  client.wait([&] { return session->closed; });
  EXPECT_EQ(session->out, "it-runs\n");
  // These have no text of their own, and are shown before the program's output.
  EXPECT_THAT(session->err, HasSubstr("remote forwarding of localhost:8080: port forwarding is not allowed (event "));
  EXPECT_THAT(session->err, HasSubstr("agent forwarding is not allowed (event "));
  EXPECT_THAT(session->err, HasSubstr("X11 forwarding is not allowed (event "));
  session = client.open(ssh::SessionOpen{});
  client.ask(session, ssh::ExecRequest{"scp -t /tmp"});
  client.wait([&] { return session->closed; });
  EXPECT_THAT(session->err, HasSubstr("copying files is not allowed (event "));
}

TEST_F(RightsTest, UnknownChannelTypesAreRefusedAndAudited) {
  TestNode node(cluster);
  node.snapshots.put(snapshot("{}", 1));
  TestClient client(node, cluster.user({}));
  EXPECT_TRUE(client.open(ssh::OtherOpen{"tun@openssh.com", {}})->refused);
  EXPECT_EQ(node.events.wait("access.denied").event_code, "T4012W");
}

// x/crypto CVE-2026-39827: a flood of refused opens costs the one who sends it the connection.
TEST_F(RightsTest, AFloodOfRefusedRequestsEndsTheConnection) {
  TestNode node(cluster);
  node.snapshots.put(snapshot(R"({"port_forwarding":false})", 1));
  TestClient client(node, cluster.user({}));
  for (int i = 0; i < 100 && !client.closed(); ++i) client.open(ssh::DirectTcpipOpen{"127.0.0.1", 1, "127.0.0.1", 1});
  EXPECT_TRUE(client.closed());
  EXPECT_LE(node.events.count("access.denied"), 40u);
}

}  // namespace
}  // namespace mezite::agent
