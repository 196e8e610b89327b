// Against the stock ssh-agent.
#include "ssh/agent/agent_client.hh"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ssh/keys/test_tools.hh"

namespace mezite::ssh {
namespace {

using namespace std::chrono_literals;

class AgentClientTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd said(ends[0]);
    UniqueFd out(ends[1]);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(out.get(), STDOUT_FILENO);
      ::execlp("ssh-agent", "ssh-agent", "-D", "-a", socket_.c_str(), nullptr);
      ::_exit(127);
    }
    out.reset();
    // It names its socket when it listens there.
    pollfd waiting{said.get(), POLLIN, 0};
    char first = 0;
    ASSERT_EQ(::poll(&waiting, 1, 20'000), 1);
    ASSERT_EQ(::read(said.get(), &first, 1), 1) << "ssh-agent did not start";
  }
  void TearDown() override {
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
  }
  testing_tools::TemporaryFolder folder_;
  std::string socket_ = folder_.file("agent");
  pid_t child_ = -1;
};

TEST_F(AgentClientTest, KeysAndCertificatesOfEveryType) {
  const auto ca = *PrivateKey::generate(KeyType::kEd25519);
  auto agent = AgentClient::connect(socket_);
  ASSERT_TRUE(agent) << agent.error().message;
  for (const KeyType type :
       {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEcdsaP521, KeyType::kRsa}) {
    const auto key = *PrivateKey::generate(type, 2048);
    const auto certificate = *sign_certificate({.public_key = key.public_key(),
                                                .key_id = "alice",
                                                .principals = {"root"},
                                                .valid_after = system_clock().now() - 1min,
                                                .valid_before = system_clock().now() + 1h},
                                               ca);
    auto added = agent->add(key, nullptr, "plain");
    ASSERT_TRUE(added) << added.error().message;
    added = agent->add(key, &certificate, "certified", 60s);
    ASSERT_TRUE(added) << added.error().message;
    const auto listed = *agent->list();
    ASSERT_EQ(listed.size(), 2u);
    EXPECT_EQ(listed[0].blob, key.public_key().wire());
    EXPECT_EQ(listed[1].blob, certificate.wire());
    EXPECT_EQ(listed[1].comment, "certified");
    for (const auto algorithm : key.public_key().signature_algorithms()) {
      const auto signature = agent->sign(certificate.wire(), algorithm, as_bytes("data"));
      ASSERT_TRUE(signature) << signature.error().message;
      EXPECT_TRUE(key.public_key().verify(algorithm, as_bytes("data"), *signature));
    }
    EXPECT_TRUE(agent->remove(certificate.wire()));
    EXPECT_TRUE(agent->remove(key.public_key().wire()));
    EXPECT_FALSE(agent->remove(certificate.wire()));
    EXPECT_TRUE(agent->list()->empty());
    EXPECT_FALSE(agent->sign(certificate.wire(), "ssh-ed25519", as_bytes("data")));
  }
  const auto other = *PrivateKey::generate(KeyType::kEd25519);
  const auto foreign = *sign_certificate({.public_key = other.public_key(),
                                          .key_id = "x",
                                          .principals = {"root"},
                                          .valid_after = system_clock().now(),
                                          .valid_before = system_clock().now() + 1h},
                                         ca);
  EXPECT_FALSE(agent->add(ca, &foreign, "mismatch"));
}

TEST(AgentClientRefusalTest, NoAgentAndLyingAgent) {
  EXPECT_FALSE(AgentClient::connect("/nonexistent/socket"));
  EXPECT_FALSE(AgentClient::connect("/" + std::string(200, 'x')));
  const testing_tools::TemporaryFolder folder;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder.file("s");
  std::copy(path.begin(), path.end(), address.sun_path);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  // Oversized, empty, cut short, and a count that lies.
  for (const char* answer : {"ffffffff0c", "00000000", "000000100c", "000000050cffffffff", "000000050c00000001"}) {
    auto agent = *AgentClient::connect(path);
    const UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
    ASSERT_TRUE(write_all(peer.get(), *from_hex(answer)));
    ::shutdown(peer.get(), SHUT_WR);
    EXPECT_FALSE(agent.list()) << answer;
  }
}

}  // namespace
}  // namespace mezite::ssh
