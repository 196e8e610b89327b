// The transport against the stock ssh, ssh-keyscan and sshd over loopback, as far as authentication.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.hh"
#include "base/unique_fd.hh"
#include "ssh/kex/algorithms.hh"
#include "ssh/transport/testing/pair.hh"

namespace mezite::ssh {
namespace {

using testing::client_config;
using testing::RememberingSink;
using testing::server_config;

constexpr const char* kSsh = "/usr/bin/ssh";
constexpr const char* kKeyscan = "/usr/bin/ssh-keyscan";
constexpr const char* kSshd = "/usr/sbin/sshd";

struct Listener {
  Listener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(fd.get(), generic, size), 0);
    EXPECT_EQ(::listen(fd.get(), 16), 0);
    EXPECT_EQ(::getsockname(fd.get(), generic, &size), 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd fd;
  std::uint16_t port = 0;
};

// Drives the transport over the socket until it closes, the stream ends, done() says so, or ten seconds are over.
template <class Done>
Status drive(Transport& transport, int fd, Done done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  Status status;
  while (true) {
    while (!transport.pending_output().empty()) {
      const auto bytes = transport.pending_output();
      const auto written = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (written <= 0) return fail_errno(errno, "send");
      transport.consume_output(static_cast<std::size_t>(written));
    }
    if (!status || transport.closed() || done()) return status;
    if (std::chrono::steady_clock::now() > end) return fail(ErrorCode::kTimeout, "the other end is silent");
    pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&poll, 1, 1000) == 0) continue;
    const auto room = transport.read_space(65536);
    const auto got = ::read(fd, room.data(), room.size());
    if (got <= 0) return fail(ErrorCode::kUnavailable, "the stream ended");
    status = transport.commit_read(static_cast<std::size_t>(got));
  }
}

// Refuses every USERAUTH_REQUEST, then says goodbye.
struct RefusingSink : RememberingSink {
  Transport* transport = nullptr;
  Status on_packet(BytesView payload) override {
    packets_.push_back(to_bytes(payload));
    Bytes failure{51};
    Writer(failure).string("publickey").boolean(false);
    return transport->send(failure);
  }
};

struct Served {
  std::string output;  // of the command, stdout and stderr
  NegotiatedAlgorithms algorithms;
  bool service_ready = false;
  std::size_t requests = 0;
  std::uint64_t key_exchanges = 0;
};

// Runs the command against a server for as many connections as it makes.
Served serve(const std::string& command, const Listener& listener, TransportConfig config = server_config()) {
  Served served;
  std::FILE* pipe = ::popen((command + " 2>&1 </dev/null").c_str(), "r");
  std::thread server([&] {
    const auto shared = std::make_shared<const TransportConfig>(std::move(config));
    while (true) {
      pollfd poll{.fd = listener.fd.get(), .events = POLLIN, .revents = 0};
      if (::poll(&poll, 1, 2000) <= 0) return;
      const UniqueFd fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      RefusingSink sink;
      auto transport = testing::must(Transport::create(shared, system_clock(), sink));
      sink.transport = transport.get();
      static_cast<void>(drive(*transport, fd.get(), [] { return false; }));
      served.algorithms = transport->algorithms();
      served.service_ready |= sink.services_ > 0;
      served.requests += sink.packets_.size();
      served.key_exchanges += transport->counters().key_exchanges;
      if (!command.contains("keyscan")) return;
    }
  });
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof(buffer), pipe)) served.output.append(buffer, got);
  ::pclose(pipe);
  server.join();
  return served;
}

// What this build and the installed ssh both know.
std::vector<std::string> common_kex(Role own_role) {
  std::string known = "\n";
  std::FILE* pipe = ::popen("ssh -Q kex", "r");
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof(buffer), pipe)) known.append(buffer, got);
  ::pclose(pipe);
  std::vector<std::string> names;
  for (const auto& kex : kex_algorithms()) {
    if (own_role == Role::kServer && kex.roles == KexRoles::kClient) continue;
    if (known.contains(fmt::format("\n{}\n", kex.name))) names.emplace_back(kex.name);
  }
  EXPECT_GE(names.size(), 6u);
  return names;
}

// Each method with one host key and each host key with one method: neither knows of the other.
std::vector<std::pair<std::string, std::string>> kex_and_host_keys(Role own_role) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& kex : common_kex(own_role)) pairs.emplace_back(kex, "ssh-ed25519");
  for (const auto* host_key :
       {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256"}) {
    pairs.emplace_back("curve25519-sha256", host_key);
  }
  return pairs;
}

std::string ssh_command(const Listener& listener, const std::string& options) {
  return fmt::format(
      "timeout 20 {} -v -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
      "-o GlobalKnownHostsFile=/dev/null -o IdentityAgent=none -o IdentityFile=/nonexistent {} -p {} user@127.0.0.1 "
      "true",
      kSsh, options, listener.port);
}

void expect_auth_phase(const Served& served) {
  EXPECT_NE(served.output.find("SSH2_MSG_SERVICE_ACCEPT received"), std::string::npos) << served.output;
  EXPECT_NE(served.output.find("Permission denied (publickey)"), std::string::npos) << served.output;
  EXPECT_TRUE(served.service_ready);
  EXPECT_GE(served.requests, 1u);
  EXPECT_TRUE(served.algorithms.strict_kex);
}

class OpenSshClient : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::access(kSsh, X_OK), 0) << "install openssh-client"; }
};

TEST_F(OpenSshClient, EveryKeyExchangeAndHostKey) {
  for (const auto& [kex, host_key] : kex_and_host_keys(Role::kServer)) {
    SCOPED_TRACE(kex + " " + host_key);
    const Listener listener;
    const auto served = serve(
        ssh_command(listener, fmt::format("-o KexAlgorithms={} -o HostKeyAlgorithms={}", kex, host_key)), listener);
    expect_auth_phase(served);
    EXPECT_EQ(served.algorithms.kex, kex);
    EXPECT_EQ(served.algorithms.host_key, host_key);
  }
}

TEST_F(OpenSshClient, EveryCipherAndMac) {
  for (const auto& cipher : AlgorithmPreferences::defaults().ciphers) {
    for (const auto& mac : AlgorithmPreferences::defaults().macs) {
      if (!cipher.ends_with("-ctr") && mac != AlgorithmPreferences::defaults().macs[0]) continue;
      SCOPED_TRACE(cipher + " " + mac);
      const Listener listener;
      const auto served = serve(ssh_command(listener, fmt::format("-o Ciphers={} -o MACs={}", cipher, mac)), listener);
      expect_auth_phase(served);
      EXPECT_EQ(served.algorithms.client_to_server.cipher, cipher);
    }
  }
}

TEST_F(OpenSshClient, SeesTheSignatureAlgorithms) {
  const Listener listener;
  const auto served = serve(ssh_command(listener, ""), listener);
  expect_auth_phase(served);
  EXPECT_NE(served.output.find("kex_input_ext_info: server-sig-algs=<"), std::string::npos) << served.output;
  EXPECT_NE(served.output.find("SSH2_MSG_EXT_INFO received"), std::string::npos);
}

TEST_F(OpenSshClient, TakesACertificateOfItsCertAuthorityWithoutAsking) {
  for (const auto* algorithm : {"ssh-ed25519-cert-v01@openssh.com", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
                                "ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp521-cert-v01@openssh.com",
                                "rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"}) {
    char folder[] = "/tmp/mezite-transport-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    const std::string known_hosts = std::string(folder) + "/known_hosts";
    // The CA is the Ed25519 key; see test_host_certificate().
    const std::string line =
        "@cert-authority * " + testing::test_key(KeyType::kEd25519)->public_key().to_text("ca") + "\n";
    ASSERT_TRUE(write_file(known_hosts, as_bytes(line)));
    const Listener listener;
    const auto served = serve(
        fmt::format("timeout 20 {} -v -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} "
                    "-o GlobalKnownHostsFile=/dev/null -o IdentityAgent=none -o IdentityFile=/nonexistent "
                    "-o HostKeyAlgorithms={} -o HostKeyAlias=localhost -p {} user@127.0.0.1 true",
                    kSsh, known_hosts, algorithm, listener.port),
        listener);
    std::filesystem::remove_all(folder);
    expect_auth_phase(served);
    EXPECT_EQ(served.algorithms.host_key, algorithm);
  }
}

TEST_F(OpenSshClient, KeyscanFindsEveryKey) {
  const Listener listener;
  const auto served =
      serve(fmt::format("timeout 20 {} -T 5 -t ed25519,ecdsa,rsa -p {} 127.0.0.1", kKeyscan, listener.port), listener);
  for (const KeyType type : {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kRsa}) {
    EXPECT_NE(served.output.find(testing::test_key(type)->public_key().to_text()), std::string::npos) << served.output;
  }
}

// A stock sshd on a free port, with its own host keys.
class OpenSshServer : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::access(kSshd, X_OK), 0) << "install openssh-server";
    // As root sshd wants the folder that its service unit would have made.
    if (::geteuid() == 0) ::mkdir("/run/sshd", 0755);
    char folder[] = "/tmp/mezite-transport-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    std::string config;
    for (const auto& [name, type] : {std::pair{"ed25519", "ed25519"},
                                     {"p256", "ecdsa -b 256"},
                                     {"p384", "ecdsa -b 384"},
                                     {"p521", "ecdsa -b 521"},
                                     {"rsa", "rsa"}}) {
      ASSERT_EQ(std::system(fmt::format("ssh-keygen -q -N '' -t {} -f {}/{}", type, folder_, name).c_str()), 0);
      config += fmt::format("HostKey {}/{}\n", folder_, name);
    }
    config +=
        "PidFile none\nUsePAM no\nStrictModes no\n"
        "Ciphers +aes128-ctr,aes192-ctr,aes256-ctr\nMaxAuthTries 100\n";
    ASSERT_TRUE(write_file(folder_ + "/sshd_config", as_bytes(config)));
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  // One connection of sshd in inetd mode over a socket pair; the process ends with the socket.
  UniqueFd connect() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    const std::string config = folder_ + "/sshd_config";
    children_.push_back(::fork());
    if (children_.back() == 0) {
      ::dup2(ends[1], 0);
      ::dup2(ends[1], 1);
      const int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, 2);
      ::close(ends[1]);
      ::execl(kSshd, kSshd, "-i", "-f", config.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    return UniqueFd(ends[0]);
  }
  void reap() {
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
    children_.clear();
  }

  std::string folder_;
  std::vector<pid_t> children_;
};

// USERAUTH_REQUEST "none"; the answer ends the test.
struct AskingSink : RememberingSink {
  Transport* transport = nullptr;
  Status on_service_ready() override {
    ++services_;
    Bytes request{50};
    Writer(request).string("nobody").string("ssh-connection").string("none");
    return transport->send(request);
  }
};

TEST_F(OpenSshServer, EveryAlgorithmUpToAuthentication) {
  const auto& all = AlgorithmPreferences::defaults();
  std::vector<AlgorithmPreferences> cases;
  for (const auto& [kex, host_key] : kex_and_host_keys(Role::kClient)) {
    cases.push_back({.kex = {kex}, .host_keys = {host_key}, .ciphers = all.ciphers, .macs = all.macs});
  }
  for (const auto& cipher : all.ciphers) {
    for (const auto& mac : all.macs) {
      if (!cipher.ends_with("-ctr") && mac != all.macs[0]) continue;
      cases.push_back({.kex = {"curve25519-sha256"}, .host_keys = all.host_keys, .ciphers = {cipher}, .macs = {mac}});
    }
  }
  for (const auto& algorithms : cases) {
    SCOPED_TRACE(algorithms.kex[0] + " " + algorithms.host_keys[0] + " " + algorithms.ciphers[0] + " " +
                 algorithms.macs[0]);
    auto config = client_config();
    config.algorithms = algorithms;
    AskingSink sink;
    auto transport = testing::must(
        Transport::create(std::make_shared<const TransportConfig>(std::move(config)), system_clock(), sink));
    sink.transport = transport.get();
    {
      const UniqueFd fd = connect();
      const auto status = drive(*transport, fd.get(), [&] { return !sink.packets_.empty(); });
      EXPECT_TRUE(status) << status.error().message;
    }
    reap();
    EXPECT_EQ(sink.services_, 1);
    ASSERT_EQ(sink.packets_.size(), 1u);
    EXPECT_EQ(sink.packets_[0][0], 51);
    EXPECT_TRUE(transport->peer_version().starts_with("SSH-2.0-OpenSSH"));
    EXPECT_FALSE(transport->server_sig_algs().empty());
    EXPECT_TRUE(transport->algorithms().strict_kex);
  }
}

// Logs in with a key and then asks one global request after the other.
struct LoginSink : RememberingSink {
  Transport* transport = nullptr;
  std::string user;
  int answers = 0;
  Status on_service_ready() override {
    const auto key = testing::test_key(KeyType::kEd25519);
    Bytes request{50};
    Writer(request)
        .string(user)
        .string("ssh-connection")
        .string("publickey")
        .boolean(true)
        .string("ssh-ed25519")
        .string(key->public_key().wire());
    Bytes to_sign;
    Writer(to_sign).string(transport->session_id()).raw(request);
    Writer(request).string(testing::must(key->sign("ssh-ed25519", to_sign)));
    return transport->send(request);
  }
  Status on_packet(BytesView payload) override {
    const auto number = static_cast<MessageNumber>(payload[0]);
    if (number == MessageNumber::kUserauthFailure) return fail(ErrorCode::kUnauthenticated, "sshd refuses the key");
    if (number == MessageNumber::kUserauthSuccess) {
      transport->set_phase(Phase::kConnection);
      return ask();
    }
    if (number != MessageNumber::kRequestFailure && number != MessageNumber::kRequestSuccess) return {};
    return ++answers < kQuestions ? ask() : Status();
  }
  Status ask() const {
    Bytes request{80};
    Writer(request).string("keepalive@openssh.com").boolean(true);
    return transport->send(request);
  }
  static constexpr int kQuestions = 60;
};

TEST_F(OpenSshServer, RekeysEveryFewPacketsAfterLogin) {
  const passwd* account = ::getpwuid(::geteuid());
  ASSERT_NE(account, nullptr);
  ASSERT_TRUE(write_file(folder_ + "/authorized_keys",
                         as_bytes(testing::test_key(KeyType::kEd25519)->public_key().to_text() + "\n")));
  std::ofstream(folder_ + "/sshd_config", std::ios::app)
      << "PermitRootLogin yes\nAuthorizedKeysFile " << folder_ << "/authorized_keys\n";
  for (const auto& cipher : AlgorithmPreferences::defaults().ciphers) {
    SCOPED_TRACE(cipher);
    auto config = client_config();
    config.algorithms.ciphers = {cipher};
    config.rekey.packets = 3;
    LoginSink sink;
    auto transport = testing::must(
        Transport::create(std::make_shared<const TransportConfig>(std::move(config)), system_clock(), sink));
    sink.transport = transport.get();
    sink.user = account->pw_name;
    {
      const UniqueFd fd = connect();
      const auto status = drive(*transport, fd.get(), [&] { return sink.answers == LoginSink::kQuestions; });
      EXPECT_TRUE(status) << status.error().message;
    }
    reap();
    EXPECT_EQ(sink.answers, LoginSink::kQuestions);
    EXPECT_GE(transport->counters().key_exchanges, 15u);
  }
}

}  // namespace
}  // namespace mezite::ssh
