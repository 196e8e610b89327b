// For the tests of this folder: a cluster's CAs, certificates as ssh-keygen makes them, a node that serves on loopback.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>

#include "agent/session/server.hh"
#include "agent/testing.hh"
#include "net/connect.hh"
#include "net/shard.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/private_key.hh"

namespace mezite::agent {

inline std::string own_name() {
  std::string name = run("id -un").out;
  name.pop_back();
  return name;
}

// User CA, host CA and users' keys in a folder, all made by ssh-keygen.
class TestCluster {
 public:
  TestCluster() {
    keygen("user-ca");
    keygen("host-ca");
    keygen("foreign-ca");
  }

  std::string path(std::string_view name) const { return (folder_ / name).string(); }
  void keygen(const std::string& name) const {
    Ran made = run("ssh-keygen -q -t ed25519 -N '' -C '' -f " + path(name));
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }
  ssh::PublicKey public_key(const std::string& name) const {
    return ssh::PublicKey::from_text(slurp(path(name + ".pub"))).value();
  }
  ssh::PrivateKey private_key(const std::string& name) const {
    return ssh::PrivateKey::from_pem(slurp(path(name))).value();
  }

  struct UserCertificate {
    std::string user = "alice";
    std::string principals;  // default: own_name()
    std::string roles = R"(["dev"])";
    std::string traits = R"({"logins":[]})";
    std::string validity = "-1m:+1h";
    std::string options;  // more, for ssh-keygen
    std::string ca = "user-ca";
  };
  // Makes key and certificate; gives the path of the identity.
  std::string user(const UserCertificate& wanted) const {
    std::string name = "id-" + new_uuid().substr(0, 8);
    keygen(name);
    std::string principals = wanted.principals.empty() ? own_name() : wanted.principals;
    std::string command = "ssh-keygen -q -s " + path(wanted.ca) + " -I " + shell_quote(wanted.user) + " -n " +
                          shell_quote(principals) + " -V " + wanted.validity + " " + wanted.options;
    if (!wanted.roles.empty()) {
      command += " -O " + shell_quote("extension:roles@mezite.com=" + wanted.roles);
    }
    if (!wanted.traits.empty()) command += " -O " + shell_quote("extension:traits@mezite.com=" + wanted.traits);
    Ran made = run(command + " " + path(name + ".pub"));
    EXPECT_EQ(made.exit_code, 0) << made.err;
    return path(name);
  }
  ssh::Certificate certificate(const UserCertificate& wanted) const {
    return ssh::Certificate::from_text(slurp(user(wanted) + "-cert.pub")).value();
  }

  static std::string role(const std::string& name, const std::string& logins, const std::string& options = "{}",
                          const std::string& labels = R"({"env":"dev"})", const std::string& deny = "{}") {
    return R"({"kind":"role","version":"v1","metadata":{"name":")" + name + R"("},"spec":{"options":)" + options +
           R"(,"allow":{"node_labels":)" + labels + R"(,"logins":)" + logins + R"(},"deny":)" + deny + "}}";
  }
  Snapshot snapshot(const std::vector<std::string>& roles, std::int64_t revision = 1) const {
    Snapshot made;
    made.revision = revision;
    made.cluster_name = "test.mezite";
    made.user_cas = {public_key("user-ca")};
    made.host_cas = {public_key("host-ca")};
    made.recording_key = recording::Identity::generate().recipient();
    Result<access::RoleSet> parsed = access::RoleSet::parse(roles);
    EXPECT_TRUE(parsed) << parsed.error().message;
    if (parsed) made.roles = *parsed;
    return made;
  }

 private:
  ScratchFolder folder_;
};

// A node's SSH server behind a loopback listener that stands for the dials.
class TestNode {
 public:
  explicit TestNode(const TestCluster& cluster, ServerOptions options = {}, std::string client_ip = "192.0.2.7")
      : cluster_(cluster), client_ip_(std::move(client_ip)), workers_(4) {
    Result<recording::Spool> spool = recording::Spool::open(folder_ / "spool");
    EXPECT_TRUE(spool) << spool.error().message;
    spool_ = std::make_unique<recording::Spool>(std::move(*spool));
    recorder_ = std::make_unique<recording::Recorder>(*spool_, system_clock());
    options.workers = &workers_;
    options.snapshots = &snapshots;
    options.node = &node;
    options.events = &events;
    options.recorder = no_recorder ? nullptr : recorder_.get();
    options.recording_finished = [this] {
      std::lock_guard lock(mutex_);
      ++finished_;
      changed_.notify_all();
    };
    ssh::PrivateKey key = ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value();
    ssh::CertificateRequest request{.public_key = key.public_key(),
                                    .type = ssh::CertificateType::kHost,
                                    .key_id = "node-1",
                                    .principals = {"web-01"},
                                    .valid_after = system_clock().now() - std::chrono::minutes(1),
                                    .valid_before = system_clock().now() + std::chrono::hours(1)};
    ssh::Certificate certificate = ssh::sign_certificate(request, cluster.private_key("host-ca")).value();
    server = std::make_unique<SshServer>(
        options, std::vector<ssh::HostKey>{{std::make_shared<ssh::PrivateKey>(key), certificate.wire()}});
    listen();
    shard_thread_ = std::thread([this] { shard.run(); });
    accept_thread_ = std::thread([this] { accept_all(); });
  }
  ~TestNode() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    accept_thread_.join();
    server->terminate("", "test over");
    shard.stop();
    shard_thread_.join();
    workers_.stop();
    server.reset();
    recorder_.reset();  // its thread calls back here
  }

  // The command line of stock ssh to this node; more goes before the host.
  std::string ssh(const std::string& identity, const std::string& more = "", const std::string& login = "") {
    write_known_hosts();
    return "ssh -F none -o UserKnownHostsFile=" + (folder_ / "known_hosts").string() +
           " -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes -o HostKeyAlias=web-01 -o BatchMode=yes"
           " -o IdentitiesOnly=yes -o IdentityAgent=none -o LogLevel=ERROR -o CertificateFile=" +
           identity + "-cert.pub -i " + identity + " -p " + std::to_string(port_) + " " + more + " " +
           (login.empty() ? own_name() : login) + "@127.0.0.1 ";
  }
  std::uint16_t port() const { return port_; }
  recording::Spool& spool() { return *spool_; }
  // Waits until so many recordings have been finished.
  bool wait_recordings(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return finished_ >= count; });
  }

  SnapshotStore snapshots;
  NodeFactsStore node{{.node_id = "node-1", .node_name = "web-01", .hostname = "host", .labels = {{"env", "dev"}}}};
  EventBox events;
  net::Shard shard;
  std::unique_ptr<SshServer> server;
  static inline bool no_recorder = false;

 private:
  void write_known_hosts() {
    EXPECT_TRUE(write_file(folder_ / "known_hosts",
                           as_bytes("@cert-authority * " + slurp(cluster_.path("host-ca.pub"))), 0644));
  }
  void listen() {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener_.get(), 16), 0);
    port_ = net::local_address(listener_.get()).port;
  }
  void accept_all() {
    for (;;) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) return;
      EXPECT_TRUE(net::prepare_socket(fd.get()));
      shard.post(
          [this, fd = std::move(fd)]() mutable { server->serve(shard, {std::move(fd), {}, {client_ip_, 50122}}); });
    }
  }

  const TestCluster& cluster_;
  const std::string client_ip_;
  ScratchFolder folder_;
  net::WorkerPool workers_;
  std::unique_ptr<recording::Spool> spool_;
  std::unique_ptr<recording::Recorder> recorder_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int finished_ = 0;
  std::thread shard_thread_;
  std::thread accept_thread_;
};

}  // namespace mezite::agent
