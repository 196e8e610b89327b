// Our server against the stock `ssh`.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include "base/file.hh"
#include "base/text.hh"
#include "ssh/endpoint/interop.hh"
#include "ssh/endpoint/testing.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/known_hosts.hh"
#include "ssh/keys/test_authenticator.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

struct EndpointWithSsh : ::testing::Test {
  EndpointWithSsh() {
    const auto key = PrivateKey::generate(KeyType::kEd25519);
    EXPECT_TRUE(write_file(dir / "id", key->to_openssh_pem()->view()));
    user_key = key->public_key();
    config->transport.host_keys = {{host_key, {}}};
  }
  void serve() {
    server = std::make_unique<TestServer>(config);
    const std::string line = known_hosts_line("[127.0.0.1]:" + std::to_string(server->port()), host_key->public_key());
    ASSERT_TRUE(write_file(dir / "known_hosts", as_bytes(line)));
  }
  // The command line up to the host.
  std::string ssh(const std::string& options = "") const {
    return "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o "
           "UserKnownHostsFile=" +
           (dir / "known_hosts").string() + " -o GlobalKnownHostsFile=/dev/null -i " + (dir / "id").string() + " -p " +
           std::to_string(server->port()) + " " + options + " alice@127.0.0.1 ";
  }

  TempDir dir;
  std::optional<PublicKey> user_key;
  std::shared_ptr<const Signer> host_key = new_key();
  std::shared_ptr<ServerConfig> config = std::make_shared<ServerConfig>();
  std::unique_ptr<TestServer> server;
};

TEST_F(EndpointWithSsh, ExecOutputStderrAndExitCodes) {
  serve();
  EXPECT_EQ(run(ssh() + "echo hello").out, "hello\n");
  EXPECT_EQ(run(ssh() + "err oops").out, "oops\n");
  for (int code : {0, 1, 42, 255}) EXPECT_EQ(run(ssh() + "exit " + std::to_string(code)).status, code);
  EXPECT_EQ(run(ssh() + "kill KILL").status, 255);
}

TEST_F(EndpointWithSsh, HundredMebibytesOfStdinIntact) {
  serve();
  const std::string file = (dir / "data").string();
  ASSERT_EQ(run("head -c 104857600 /dev/urandom > " + file).status, 0);
  const std::string expected = run("sha256sum < " + file).out.substr(0, 64);
  EXPECT_EQ(run(ssh() + "sha256 < " + file).out, expected + "\n");
  EXPECT_EQ(run(ssh() + "cat < " + file + " | sha256sum").out.substr(0, 64), expected);
}

TEST_F(EndpointWithSsh, ManyKeyExchangesInTheMiddleOfData) {
  config->transport.rekey.bytes = 3 << 20;  // ours as well, so that both ends begin some
  serve();
  const std::string file = (dir / "data").string();
  ASSERT_EQ(run("head -c 52428800 /dev/urandom > " + file).status, 0);
  const std::string expected = run("sha256sum < " + file).out.substr(0, 64);
  const auto outcome =
      run(ssh("-v -o RekeyLimit=1M") + "cat < " + file + " 2>" + (dir / "log").string() + " | sha256sum");
  EXPECT_EQ(outcome.out.substr(0, 64), expected);
  const auto count = run("grep -c \"SSH2_MSG_NEWKEYS received\" " + (dir / "log").string());
  EXPECT_GT(std::stoi(count.out), 20);
}

TEST_F(EndpointWithSsh, EveryCipher) {
  serve();
  for (const char* cipher : {"aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com",
                             "aes128-ctr", "aes192-ctr", "aes256-ctr"}) {
    const auto outcome = run(ssh(std::string("-c ") + cipher) + "send 1000000 | wc -c");
    EXPECT_EQ(std::string(trim(outcome.out)), "1000000") << cipher << outcome.out;
  }
  for (const char* mac : {"hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"}) {
    const auto outcome = run(ssh(std::string("-c aes128-ctr -m ") + mac) + "send 1000000 | wc -c");
    EXPECT_EQ(std::string(trim(outcome.out)), "1000000") << mac << outcome.out;
  }
}

TEST_F(EndpointWithSsh, JumpOptionW) {
  serve();
  EXPECT_EQ(run("printf ping | " + ssh("-W node:22")).out, "ping");
  const std::string file = (dir / "data").string();
  ASSERT_EQ(run("head -c 20000000 /dev/urandom > " + file).status, 0);
  EXPECT_EQ(run(ssh("-W node:22") + "< " + file + " | cmp - " + file).status, 0);
}

TEST_F(EndpointWithSsh, TerminalAndEnvironment) {
  serve();
  const auto outcome = run("TERM=xterm-256color " + ssh("-tt") + "pty");
  EXPECT_NE(outcome.out.find("xterm-256color "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find(" modes"), std::string::npos);
  EXPECT_EQ(run(ssh("-o SetEnv=MEZITE=1") + "env").out, "MEZITE=1\n");
  EXPECT_NE(run(ssh("-T") + "< /dev/null").out.find("shell\n"), std::string::npos);
}

TEST_F(EndpointWithSsh, RemoteForwardIsAnswered) {
  serve();
  EXPECT_NE(run(ssh("-R 0:localhost:1") + "echo hi").out.find("Allocated port 4711"), std::string::npos);
}

// A new host key is learnt from a connection under the old one, without a question to anybody.
TEST_F(EndpointWithSsh, HostKeyRotation) {
  const auto next = new_key(KeyType::kEcdsaP256);
  config->transport.host_keys = {{host_key, {}}, {next, {}}};
  serve();
  const std::string options = "-o HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256 -o UpdateHostKeys=yes";
  const auto outcome = run(ssh("-v " + options) + "echo hi");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.out.find("publickey-hostbound@openssh.com=<0>"), std::string::npos) << outcome.out;
  const std::string known = to_text(*read_file(dir / "known_hosts"));
  EXPECT_NE(known.find(next->public_key().to_text()), std::string::npos) << known << outcome.out;
  // The old key goes, and nobody notices.
  const std::uint16_t port = server->port();
  server.reset();
  config->transport.host_keys = {{next, {}}};
  server = std::make_unique<TestServer>(config);
  std::string moved;
  for (const std::string_view line : split(known, '\n')) {
    std::string text(line);
    const auto at = text.find("]:" + std::to_string(port));
    if (at != std::string::npos) text.replace(at + 2, std::to_string(port).size(), std::to_string(server->port()));
    moved += text + "\n";
  }
  ASSERT_TRUE(write_file(dir / "known_hosts", as_bytes(moved)));
  EXPECT_EQ(run(ssh() + "echo again").out, "again\n");
}

TEST_F(EndpointWithSsh, KeepalivesOfTheServerAreAnswered) {
  config->keepalive = {.interval = std::chrono::milliseconds(100), .max_unanswered = 2};
  serve();
  EXPECT_EQ(run("(sleep 1; echo done) | " + ssh() + "cat").out, "done\n");
}

TEST_F(EndpointWithSsh, UserCertificateOfSshKeygen) {
  const auto ca = PrivateKey::generate(KeyType::kEd25519);
  ASSERT_TRUE(write_file(dir / "ca", ca->to_openssh_pem()->view()));
  const PublicKey ca_key = ca->public_key();
  serve();
  server->when_auth([ca_key](const AuthRequest& request, AuthResponder responder) {
    if (!request.certificate) return responder.reject();
    const std::vector<PublicKey> cas{ca_key};
    CertificateCheck check;
    check.trusted_cas = cas;
    check.now = system_clock().now();
    check.principal = request.user;
    if (!verify_certificate(*request.certificate, check)) return responder.reject();
    responder.accept();
  });
  EXPECT_EQ(run(ssh() + "echo hi").status, 255);
  ASSERT_TRUE(write_file(dir / "id.pub", as_bytes(user_key->to_text() + "\n")));
  ASSERT_EQ(
      run("ssh-keygen -q -s " + (dir / "ca").string() + " -I test -n alice -V +1h " + (dir / "id.pub").string()).status,
      0);
  EXPECT_EQ(run(ssh() + "echo hi").out, "hi\n");
  ASSERT_EQ(
      run("ssh-keygen -q -s " + (dir / "ca").string() + " -I test -n bob -V +1h " + (dir / "id.pub").string()).status,
      0);
  EXPECT_EQ(run(ssh() + "echo hi").status, 255);
}

TEST_F(EndpointWithSsh, UserKeysOfEachType) {
  serve();
  std::vector<std::string> seen;
  std::mutex mutex;
  server->when_auth([&](const AuthRequest& request, AuthResponder responder) {
    if (request.proof == KeyProof::kProven) {
      const std::lock_guard lock(mutex);
      seen.push_back(request.algorithm);
    }
    responder.accept();
  });
  for (const char* type : {"ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "rsa -b 2048"}) {
    std::filesystem::remove(dir / "id");
    ASSERT_EQ(run(std::string("ssh-keygen -q -N \"\" -t ") + type + " -f " + (dir / "id").string()).status, 0);
    EXPECT_EQ(run(ssh() + "echo hi").out, "hi\n");
  }
  EXPECT_EQ(run(ssh("-o PubkeyAcceptedAlgorithms=rsa-sha2-256") + "echo hi").out, "hi\n");
  EXPECT_EQ(run(ssh("-o PubkeyAcceptedAlgorithms=ssh-rsa") + "echo hi").status, 255);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen, (std::vector<std::string>{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                            "rsa-sha2-512", "rsa-sha2-256"}));
}

// The stock client with the software authenticator of openssh-tests, bare and with certificates.
TEST_F(EndpointWithSsh, SecurityKeysWithAndWithoutTouch) {
  ASSERT_TRUE(std::filesystem::exists(testing_tools::kSkDummy)) << "install openssh-tests";
  serve();
  std::atomic<bool> certificates_only = false;
  std::atomic<bool> seen = false;  // a certificate of a security key
  server->when_auth([&](const AuthRequest& request, AuthResponder responder) {
    if (certificates_only && !request.certificate) return responder.reject();
    if (request.certificate && is_fido(request.key->type())) seen = true;
    responder.accept();
  });
  const std::string provider = fmt::format("SSH_SK_PROVIDER={} ", testing_tools::kSkDummy);
  const std::string login = ssh(fmt::format("-o SecurityKeyProvider={}", testing_tools::kSkDummy)) + "exit 0";
  const std::string id = (dir / "id").string();
  const auto ca = PrivateKey::generate(KeyType::kEd25519);
  ASSERT_TRUE(write_file(dir / "ca", ca->to_openssh_pem()->view()));
  for (const char* type : {"ed25519-sk", "ecdsa-sk"}) {
    for (const bool touch : {true, false}) {
      SCOPED_TRACE(fmt::format("{} {}", type, touch));
      for (const char* file : {"id", "id.pub", "id-cert.pub"}) std::filesystem::remove(dir / file);
      ASSERT_EQ(run(fmt::format("{}ssh-keygen -q -N \"\" -t {} {} -f {}", provider, type,
                                touch ? "" : "-O no-touch-required", id))
                    .status,
                0);
      EXPECT_EQ(run(login).status, touch ? 0 : 255);
      for (const bool lifted : {false, true}) {
        ASSERT_EQ(run(fmt::format("ssh-keygen -q -s {} -I me -n alice -V +1h {} {}.pub", (dir / "ca").string(),
                                  lifted ? "-O no-touch-required" : "", id))
                      .status,
                  0);
        certificates_only = true;
        seen = false;
        EXPECT_EQ(run(login).status, touch || lifted ? 0 : 255);
        EXPECT_TRUE(seen);
        certificates_only = false;
      }
    }
  }
}

TEST_F(EndpointWithSsh, HostCertificate) {
  const auto ca = new_key();
  auto certificate = sign_certificate({.public_key = host_key->public_key(),
                                       .type = CertificateType::kHost,
                                       .key_id = "node",
                                       .principals = {"127.0.0.1"},
                                       .valid_after = system_clock().now() - std::chrono::minutes(1),
                                       .valid_before = system_clock().now() + std::chrono::hours(1)},
                                      *ca);
  ASSERT_TRUE(certificate);
  config->transport.host_keys = {{host_key, certificate->wire()}};
  serve();
  ASSERT_TRUE(write_file(dir / "known_hosts", as_bytes(known_hosts_ca_line("*", ca->public_key()))));
  EXPECT_EQ(run(ssh() + "echo hi").out, "hi\n");
}

// Partial success, and a second factor asked of a stock client.
TEST_F(EndpointWithSsh, KeyThenKeyboardInteractive) {
  config->banner = "Welcome to the cluster.\n";
  serve();
  server->when_auth([](const AuthRequest& request, AuthResponder responder) {
    if (request.method == AuthMethod::kPublicKey) return responder.partial({AuthMethod::kKeyboardInteractive});
    if (request.round == 0) return responder.challenge({"", "", {{"Code: ", false}}});
    if (request.answers[0].text() == "123456") return responder.accept();
    responder.reject();
  });
  const std::string askpass = (dir / "askpass").string();
  ASSERT_TRUE(write_file(askpass, as_bytes("#!/bin/sh\necho $CODE\n"), 0700));
  const std::string environment = "SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=" + askpass + " ";
  // Its first -o wins: BatchMode has to go for this one.
  std::string command = ssh();
  command.erase(command.find("-o BatchMode=yes "), 17);
  const auto outcome = run("CODE=123456 " + environment + command + "echo hi");
  EXPECT_EQ(outcome.status, 0) << outcome.out;
  EXPECT_NE(outcome.out.find("Welcome to the cluster."), std::string::npos);
  EXPECT_NE(outcome.out.find("hi\n"), std::string::npos);
  EXPECT_EQ(run("CODE=1 " + environment + command + "echo hi").status, 255);
}

TEST_F(EndpointWithSsh, RefusedKeySaysPermissionDenied) {
  serve();
  server->when_auth([](const AuthRequest&, AuthResponder responder) { responder.reject(); });
  const auto outcome = run(ssh() + "echo hi");
  EXPECT_EQ(outcome.status, 255);
  EXPECT_NE(outcome.out.find("Permission denied (publickey)"), std::string::npos) << outcome.out;
}

TEST_F(EndpointWithSsh, SeveralSessionsOnOneConnection) {
  serve();
  const std::string control = "-S " + (dir / "control").string();
  ASSERT_EQ(run(ssh(control + " -M -N -f") + "> /dev/null 2>&1").status, 0);
  EXPECT_EQ(run(ssh(control) + "echo one").out, "one\n");
  EXPECT_EQ(run(ssh(control) + "exit 3").status, 3);
  const std::string one = ssh(control) + "send 5000000 | wc -c & ";
  EXPECT_EQ(run(one + one + one + "wait").out, "5000000\n5000000\n5000000\n");
  EXPECT_EQ(server->connections, 1u);
  run(ssh(control + " -O exit"));
}

TEST_F(EndpointWithSsh, ParamikoAsASecondOpinion) {
  ASSERT_EQ(run("/usr/bin/python3 -c \"import paramiko\"").status, 0) << "install python3-paramiko";
  serve();
  const std::string script = fmt::format(R"(
import hashlib, os, paramiko
c = paramiko.SSHClient()
c.load_host_keys("{0}/known_hosts")
c.connect("127.0.0.1", {1}, "alice", key_filename="{0}/id", allow_agent=False, look_for_keys=False)
i, o, e = c.exec_command("echo hello")
assert o.read() == b"hello\n"
assert o.channel.recv_exit_status() == 0
i, o, e = c.exec_command("exit 9")
assert o.channel.recv_exit_status() == 9
data = os.urandom(8000000)
i, o, e = c.exec_command("sha256")
i.write(data)
i.channel.shutdown_write()
assert o.read().decode().strip() == hashlib.sha256(data).hexdigest()
c.get_transport().renegotiate_keys()
f = c.get_transport().open_channel("direct-tcpip", ("node", 22), ("127.0.0.1", 1))
f.sendall(b"ping")
assert f.recv(4) == b"ping"
c.close()
print("fine")
)",
                                         dir.path().string(), server->port());
  ASSERT_TRUE(write_file(dir / "peer.py", as_bytes(script)));
  const auto outcome = run("/usr/bin/python3 -W ignore " + (dir / "peer.py").string());
  EXPECT_EQ(outcome.out, "fine\n");
}

// Not a test: --gtest_also_run_disabled_tests --gtest_filter=*Throughput*
TEST_F(EndpointWithSsh, DISABLED_Throughput) {
  serve();
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  for (const char* cipher : {"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"}) {
    const std::string command = ssh(std::string("-c ") + cipher);
    print_cost(fmt::format("our server, ssh, download, {}", cipher), kBytes,
               measure([&] { run(command + fmt::format("send {} > /dev/null", kBytes)); }));
    print_cost(fmt::format("our server, ssh, upload, {}", cipher), kBytes,
               measure([&] { run(fmt::format("head -c {} /dev/zero | ", kBytes) + command + "sink"); }));
  }
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
