// Our client against the stock `sshd`.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.hh"
#include "base/testing.hh"
#include "crypto/hash.hh"
#include "ssh/endpoint/interop.hh"
#include "ssh/endpoint/testing.hh"
#include "ssh/keys/known_hosts.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

// Looks again and again, since a process tells nobody but its parent that it has reaped a child; false after ten
// seconds.
bool becomes_childless(pid_t pid) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (true) {
    const auto listed = read_file(fmt::format("/proc/{0}/task/{0}/children", pid));
    if (!listed || listed->empty()) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 5);
  }
}

struct EndpointWithSshd : ::testing::Test {
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "sshd is started as root";
    std::error_code ignored;
    std::filesystem::create_directories("/run/sshd", ignored);
    user_key = std::make_shared<PrivateKey>(*PrivateKey::generate(KeyType::kEd25519));
    user_ca = new_key();
    const auto host = PrivateKey::generate(KeyType::kEd25519);
    host_key = host->public_key();
    ASSERT_TRUE(write_file(dir / "host", host->to_openssh_pem()->view()));
    ASSERT_TRUE(write_file(dir / "host.pub", as_bytes(host_key->to_text() + "\n"), 0644));
    ASSERT_TRUE(write_file(dir / "authorized_keys", as_bytes(user_key->public_key().to_text() + "\n"), 0644));
    ASSERT_TRUE(write_file(dir / "user_ca.pub", as_bytes(user_ca->public_key().to_text() + "\n"), 0644));
  }
  void TearDown() override {
    if (child <= 0) return;
    ::kill(child, SIGTERM);
    ::waitpid(child, nullptr, 0);
  }
  void serve(const std::string& more = "") {
    port = free_port();
    const std::string text = fmt::format(
        "Port {1}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel INFO\n"
        // SHLVL: bash reads no ~/.bashrc of whoever runs the tests.
        "Subsystem sftp internal-sftp\nMaxStartups 100\nSetEnv SHLVL=1\n{2}\n",
        dir.path().string(), port, more.empty() ? "AuthorizedKeysFile " + (dir / "authorized_keys").string() : more);
    ASSERT_TRUE(write_file(dir / "config", as_bytes(text)));
    const std::string config = (dir / "config").string();
    const std::string log_path = (dir / "log").string();
    child = ::fork();
    if (child == 0) {
      const int log_fd = ::open(log_path.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
      ::dup2(log_fd, 2);
      ::execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", config.c_str(), nullptr);
      ::_exit(127);
    }
    const std::string listens = fmt::format("listening on 127.0.0.1 port {}", port);
    ASSERT_TRUE(await_files(dir.path(), [&] {
      const auto log = read_file(log_path);
      return log && to_text(*log).contains(listens);
    })) << "sshd does not listen";
  }
  ClientConfig client_config() {
    ClientConfig config;
    config.user = "root";
    config.identities = {Identity{user_key, {}}};
    return config;
  }
  void connect(ClientConfig config) {
    fd = connect_loopback(port);
    ASSERT_TRUE(fd);
    client = std::make_unique<ClientEndpoint>(std::move(config), handler, system_clock());
    drive_until(fd.get(), *client, [&] { return handler.authenticated > 0; });
  }
  // Runs it to its end; stdin is `input`.
  std::shared_ptr<RecordingHandler> execute(const std::string& command, BytesView input = {}, bool keep = true) {
    auto session = std::make_shared<RecordingHandler>();
    session->keep = keep;
    std::size_t done = 0;
    const auto feed = [&, session = session.get()] {
      done += session->channel.write(input.subspan(done));
      if (done == input.size()) session->channel.send_eof();
    };
    session->when_open = [&](Channel channel) {
      channel.request(ExecRequest{command}, [](bool granted) { EXPECT_TRUE(granted); });
      feed();
    };
    session->when_writable = feed;
    client->open_channel(SessionOpen{}, session);
    EXPECT_TRUE(drive_until(fd.get(), *client, [&] { return session->closes > 0 || session->failure; }));
    session->when_open = {};
    session->when_writable = {};
    return session;
  }
  std::string log() {
    const auto bytes = read_file(dir / "log");
    return bytes ? to_text(*bytes) : "";
  }

  TempDir dir;
  std::shared_ptr<PrivateKey> user_key;
  std::shared_ptr<const Signer> user_ca;
  std::optional<PublicKey> host_key;
  std::uint16_t port = 0;
  pid_t child = -1;
  UniqueFd fd;
  RecordingClient handler;
  std::unique_ptr<ClientEndpoint> client;
};

TEST_F(EndpointWithSshd, ExecWithExitStatusAndBothStreams) {
  serve();
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1) << (handler.closed ? handler.closed->message : "") << log();
  EXPECT_EQ(*handler.host_key, *host_key);
  const auto session = execute("echo out; echo err >&2; exit 7");
  EXPECT_EQ(session->out, "out\n");
  EXPECT_EQ(session->err, "err\n");
  ASSERT_EQ(session->requests.size(), 1u);
  EXPECT_EQ(std::get<ExitStatus>(session->requests[0]).code, 7u);
  const auto killed = execute("kill -KILL $$");
  ASSERT_EQ(killed->requests.size(), 1u);
  EXPECT_EQ(std::get<ExitSignal>(killed->requests[0]).name, "KILL");
  EXPECT_EQ(client->channel_count(), 0u);
}

TEST_F(EndpointWithSshd, DataBothWaysWithEveryCipher) {
  serve();
  Bytes data(20 << 20);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
  const std::string digest = to_hex(crypto::sha256(data));
  for (const std::string& cipher : AlgorithmPreferences::defaults().ciphers) {
    handler = RecordingClient();
    auto config = client_config();
    config.transport.algorithms.ciphers = {cipher};
    connect(std::move(config));
    ASSERT_EQ(handler.authenticated, 1) << cipher;
    EXPECT_EQ(execute("sha256sum", data)->out.substr(0, 64), digest) << cipher;
    EXPECT_EQ(execute("cat", data)->out.size(), data.size()) << cipher;
    client.reset();
  }
}

TEST_F(EndpointWithSshd, KeyExchangesInTheMiddleOfData) {
  serve("RekeyLimit 1M\nAuthorizedKeysFile " + (dir / "authorized_keys").string());
  auto config = client_config();
  config.transport.rekey.bytes = 3 << 20;
  connect(std::move(config));
  ASSERT_EQ(handler.authenticated, 1);
  Bytes data(30 << 20);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
  const auto session = execute("cat", data);
  EXPECT_EQ(to_hex(crypto::sha256(as_bytes(session->out))), to_hex(crypto::sha256(data)));
}

TEST_F(EndpointWithSshd, UserCertificate) {
  serve("AuthorizedKeysFile none\nTrustedUserCAKeys " + (dir / "user_ca.pub").string());
  auto certificate = sign_certificate({.public_key = user_key->public_key(),
                                       .key_id = "alice",
                                       .principals = {"root"},
                                       .valid_after = system_clock().now() - std::chrono::minutes(1),
                                       .valid_before = system_clock().now() + std::chrono::hours(1),
                                       .extensions = default_user_extensions()},
                                      *user_ca);
  ASSERT_TRUE(certificate);
  auto config = client_config();
  config.identities[0].certificate = *certificate;
  connect(std::move(config));
  ASSERT_EQ(handler.authenticated, 1) << log();
  EXPECT_EQ(execute("echo in")->out, "in\n");
  client.reset();
  handler = RecordingClient();
  connect(client_config());  // without it
  EXPECT_EQ(handler.authenticated, 0);
  ASSERT_TRUE(handler.closed);
  EXPECT_EQ(handler.closed->code, ErrorCode::kUnauthenticated);
}

TEST_F(EndpointWithSshd, RsaKeysAndSeveralIdentities) {
  const auto rsa = std::make_shared<PrivateKey>(*PrivateKey::generate(KeyType::kRsa, 2048));
  ASSERT_TRUE(write_file(dir / "authorized_keys", as_bytes(rsa->public_key().to_text() + "\n"), 0644));
  serve();
  auto config = client_config();
  config.identities = {Identity{user_key, {}}, Identity{new_key(KeyType::kEcdsaP256), {}}, Identity{rsa, {}}};
  connect(std::move(config));
  ASSERT_EQ(handler.authenticated, 1) << log();
  EXPECT_EQ(execute("echo in")->out, "in\n");
}

TEST_F(EndpointWithSshd, HostCertificate) {
  const auto ca = new_key();
  auto certificate = sign_certificate({.public_key = *host_key,
                                       .type = CertificateType::kHost,
                                       .key_id = "node",
                                       .principals = {"node-1"},
                                       .valid_after = system_clock().now() - std::chrono::minutes(1),
                                       .valid_before = system_clock().now() + std::chrono::hours(1)},
                                      *ca);
  ASSERT_TRUE(certificate);
  ASSERT_TRUE(write_file(dir / "host-cert.pub", as_bytes(certificate->to_text() + "\n"), 0644));
  serve("HostCertificate " + (dir / "host-cert.pub").string() + "\nAuthorizedKeysFile " +
        (dir / "authorized_keys").string());
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1) << log();
  EXPECT_TRUE(handler.host_certified);
}

TEST_F(EndpointWithSshd, RefusalsInOneSentence) {
  serve();
  auto config = client_config();
  config.identities = {Identity{new_key(), {}}};
  connect(std::move(config));
  ASSERT_TRUE(handler.closed);
  EXPECT_EQ(handler.closed->code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(handler.closed->message, "permission denied for 'root': the server takes publickey");
}

TEST_F(EndpointWithSshd, ForwardedConnectionsBothWays) {
  serve("AllowTcpForwarding yes\nAuthorizedKeysFile " + (dir / "authorized_keys").string());
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1);
  // Out: to sshd itself, which greets.
  auto out = std::make_shared<RecordingHandler>();
  client->open_channel(DirectTcpipOpen{"127.0.0.1", port, "127.0.0.1", 1}, out);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return out->out.find('\n') != std::string::npos; }));
  EXPECT_EQ(out->out.substr(0, 8), "SSH-2.0-");
  out->channel.close();
  // Nobody there.
  auto refused = std::make_shared<RecordingHandler>();
  client->open_channel(DirectTcpipOpen{"127.0.0.1", 1, "127.0.0.1", 1}, refused);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return refused->failure.has_value(); }));
  EXPECT_EQ(refused->failure->first, OpenFailure::kConnectFailed);
  // In: a port at the server.
  std::uint32_t there = 0;
  client->global_request(TcpipForwardRequest{"127.0.0.1", 0},
                         [&](std::optional<BytesView> reply) { there = forwarded_port(reply).value_or(0); });
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return there != 0; }));
  const UniqueFd visitor = connect_loopback(static_cast<std::uint16_t>(there));
  ASSERT_TRUE(visitor);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return !handler.handlers.empty(); }));
  EXPECT_EQ(std::get<ForwardedTcpipOpen>(handler.opens[0]).port, there);
  ASSERT_EQ(::write(visitor.get(), "knock", 5), 5);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return handler.handlers[0]->out == "knock"; }));
}

TEST_F(EndpointWithSshd, UnixSocketsBothWays) {
  serve("AllowStreamLocalForwarding yes\nAuthorizedKeysFile " + (dir / "authorized_keys").string());
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1);
  // In: a socket at the server, bound and then taken away again.
  const std::string path = (dir / "remote.sock").string();
  std::optional<bool> bound;
  client->global_request(StreamlocalForwardRequest{path}, [&](auto reply) { bound = reply.has_value(); });
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return bound.has_value(); }));
  ASSERT_TRUE(*bound);
  // Out: to that same socket, so that the two ends of one connection are two channels.
  auto out = std::make_shared<RecordingHandler>();
  client->open_channel(DirectStreamlocalOpen{path}, out);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return out->opens == 1 && !handler.handlers.empty(); }));
  EXPECT_EQ(handler.opens[0], ChannelOpen(ForwardedStreamlocalOpen{path}));
  ASSERT_EQ(out->channel.write(as_bytes("knock")), 5u);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return handler.handlers[0]->out == "knock"; }));
  ASSERT_EQ(handler.handlers[0]->channel.write(as_bytes("who is there")), 12u);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return out->out == "who is there"; }));
  std::optional<bool> cancelled;
  client->global_request(CancelStreamlocalForwardRequest{path}, [&](auto reply) { cancelled = reply.has_value(); });
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return cancelled.has_value(); }));
  EXPECT_TRUE(*cancelled);
}

TEST_F(EndpointWithSshd, AgentAndX11ChannelsOfTheServer) {
  serve("X11Forwarding yes\nXAuthLocation /bin/true\nAuthorizedKeysFile " + (dir / "authorized_keys").string());
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1);
  auto session = std::make_shared<RecordingHandler>();
  std::optional<bool> agent, x11;
  session->when_open = [&](Channel channel) {
    channel.request(AgentForwardRequest{}, [&](bool granted) { agent = granted; });
    channel.request(X11Request{false, "MIT-MAGIC-COOKIE-1", "00112233445566778899aabbccddeeff", 0},
                    [&](bool granted) { x11 = granted; });
    channel.request(ExecRequest{"ssh-add -l; echo display $DISPLAY; read line"});
  };
  client->open_channel(SessionOpen{}, session);
  // The question to the agent, as ssh-add asks it: SSH_AGENTC_REQUEST_IDENTITIES.
  ASSERT_TRUE(
      drive_until(fd.get(), *client, [&] { return !handler.handlers.empty() && handler.handlers[0]->received >= 5; }));
  EXPECT_EQ(agent, true);
  EXPECT_EQ(x11, true);
  EXPECT_EQ(handler.opens[0], ChannelOpen(AgentOpen{}));
  ASSERT_EQ(handler.handlers[0]->channel.write(Bytes{0, 0, 0, 5, 12, 0, 0, 0, 0}), 9u);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return session->out.find("display") != std::string::npos; }));
  EXPECT_NE(session->out.find("no identities"), std::string::npos) << session->out;
  // display localhost:10.0: the X server would be port 6010.
  const auto colon = session->out.find(":", session->out.find("display"));
  ASSERT_NE(colon, std::string::npos) << session->out;
  const int display = std::atoi(session->out.c_str() + colon + 1);
  const UniqueFd program = connect_loopback(static_cast<std::uint16_t>(6000 + display));
  ASSERT_TRUE(program);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return handler.opens.size() == 2; }));
  EXPECT_TRUE(std::holds_alternative<X11Open>(handler.opens[1]));
}

TEST_F(EndpointWithSshd, TerminalWithResizeAndSignal) {
  serve();
  connect(client_config());
  ASSERT_EQ(handler.authenticated, 1);
  auto session = std::make_shared<RecordingHandler>();
  session->when_open = [](Channel channel) {
    channel.request(PtyRequest{"xterm", {81, 25, 0, 0}, {{53, 1}}}, [](bool granted) { EXPECT_TRUE(granted); });
    channel.request(ExecRequest{"stty size; read x; stty size"}, [](bool granted) { EXPECT_TRUE(granted); });
  };
  client->open_channel(SessionOpen{}, session);
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return session->out.find("25 81") != std::string::npos; }));
  session->channel.request(WindowChangeRequest{{100, 50, 0, 0}});
  session->channel.write(as_bytes("\n"));
  ASSERT_TRUE(drive_until(fd.get(), *client, [&] { return session->closes > 0; }));
  EXPECT_NE(session->out.find("50 100"), std::string::npos) << session->out;
}

// Not a test: --gtest_also_run_disabled_tests --gtest_filter=*Throughput*
TEST_F(EndpointWithSshd, DISABLED_Throughput) {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  const Bytes data(kBytes);
  for (const char* cipher : {"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"}) {
    for (bool upload : {false, true}) {
      serve();
      handler = RecordingClient();
      auto config = client_config();
      config.transport.algorithms.ciphers = {cipher};
      connect(std::move(config));
      ASSERT_EQ(handler.authenticated, 1);
      const auto cost = measure([&] {
        if (upload) {
          execute("cat > /dev/null", data, false);
        } else {
          EXPECT_EQ(execute(fmt::format("head -c {} /dev/zero", kBytes), {}, false)->received, kBytes);
        }
        client.reset();
        fd.reset();
        // Only what sshd has reaped counts.
        ASSERT_TRUE(becomes_childless(child)) << "sshd still serves";
        ::kill(std::exchange(child, -1), SIGTERM);
        ::waitpid(-1, nullptr, 0);
      });
      print_cost(fmt::format("our client, sshd, {}, {}", upload ? "upload" : "download", cipher), kBytes, cost);
    }
  }
  // The same by stock ssh, for comparison: what the client costs is among the children.
  serve();
  ASSERT_TRUE(write_file(dir / "id", user_key->to_openssh_pem()->view()));
  for (const char* cipher : {"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"}) {
    const std::string ssh = fmt::format(
        "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o "
        "LogLevel=ERROR "
        "-i {}/id -p {} -c {} root@127.0.0.1 ",
        dir.path().string(), port, cipher);
    print_cost(fmt::format("sshd, ssh, download, {}", cipher), kBytes,
               measure([&] { run(ssh + fmt::format("head -c {} /dev/zero > /dev/null", kBytes)); }));
    print_cost(fmt::format("sshd, ssh, upload, {}", cipher), kBytes,
               measure([&] { run(fmt::format("head -c {} /dev/zero | ", kBytes) + ssh + "cat \\> /dev/null"); }));
  }
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
