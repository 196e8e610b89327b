// regress_sshd: the agent's SSH server in the clothes of sshd, for OpenSSH's regress suite (TEST_SSH_SSHD).
//
//   regress_sshd -f CONFIG [-o OPTION] [-E LOG] [-D]     listens, puts itself into the background, a process per
//   connection regress_sshd -i -f CONFIG                            one connection, on stdin and stdout regress_sshd -t
//   …, -T …                              sshd's own parser: not what is tested here, so sshd answers
//
// Who may enter is sshd's business in that suite (authorized_keys and the like, see admission.hh); whoever may gets a
// certificate made on the spot, and from there on it is the agent's own session code that serves.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "admission.hh"
#include "agent/forward/helper_process.hh"
#include "agent/session/connection.hh"
#include "agent/session/context.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/connect.hh"
#include "net/worker_pool.hh"
#include "ssh/keys/private_key.hh"
#include "sshd_config.hh"

namespace mezite::interop {
namespace {

using namespace agent;

struct Settings {
  std::string config_path;
  std::vector<std::string> options;
  std::string log_path;
  bool inetd = false, foreground = false;
  SshdConfig config;
};

class NoEvents final : public EventSink {
  Status emit(std::vector<audit::Event>) override { return {}; }
};

// The agent's connection, with sshd's admission in front of its own.
class RegressConnection final : public Connection {
 public:
  RegressConnection(std::shared_ptr<ServerContext> context, net::Shard& shard, const SshdConfig& config,
                    const ssh::PrivateKey& ca, std::string_view address, bool& authenticated)
      : Connection(std::move(context), shard, {"127.0.0.1", 0}),
        config_(config),
        ca_(ca),
        address_(address),
        authenticated_(authenticated) {}

  void on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) override {
    const auto options = admit(config_, request, address_);
    if (!options) return responder.reject();
    ssh::CertificateRequest wanted{.public_key = *request.key,
                                   .key_id = "regress",
                                   .principals = {request.user},
                                   .valid_after = system_clock().now() - std::chrono::minutes(1),
                                   .valid_before = system_clock().now() + std::chrono::hours(1)};
    const auto permit = [&](bool allowed, std::string name) {
      if (allowed) wanted.extensions.push_back({std::move(name), {}});
    };
    permit(options->pty, "permit-pty");
    permit(options->port_forwarding && config_.first("AllowTcpForwarding") != "no", "permit-port-forwarding");
    permit(options->agent_forwarding, "permit-agent-forwarding");
    permit(options->x11_forwarding, "permit-X11-forwarding");
    const auto add = [](ssh::CertificateOptions& list, std::string name, std::string_view text) {
      Bytes value{0, 0, static_cast<std::uint8_t>(text.size() >> 8), static_cast<std::uint8_t>(text.size())};
      value.insert(value.end(), text.begin(), text.end());
      list.push_back({std::move(name), std::move(value)});
    };
    add(wanted.extensions, "roles@mezite.com", R"(["regress"])");
    add(wanted.extensions, "traits@mezite.com", "{}");
    if (options->command) add(wanted.critical_options, "force-command", *options->command);
    auto certificate = ssh::sign_certificate(std::move(wanted), ca_);
    if (!certificate) {
      log::error("making a certificate", {{"error", certificate.error()}});
      return responder.reject();
    }
    ssh::AuthRequest certified{.user = request.user,
                               .service = request.service,
                               .method = request.method,
                               .peer_software = request.peer_software,
                               .key = request.key,
                               .certificate = std::move(*certificate),
                               .algorithm = request.algorithm,
                               .proof = request.proof,
                               .round = request.round,
                               .answers = {},
                               .session_id = request.session_id,
                               .attempt = request.attempt};
    Connection::on_auth_request(certified, std::move(responder));
  }
  void on_authenticated(const ssh::PeerIdentity& identity) override {
    authenticated_ = true;
    Connection::on_authenticated(identity);
  }

 private:
  const SshdConfig& config_;
  const ssh::PrivateKey& ca_;
  const std::string address_;
  bool& authenticated_;
};

Result<std::vector<ssh::HostKey>> load_host_keys(const SshdConfig& config) {
  std::vector<ssh::HostKey> keys;
  for (const std::string& path : config.all("HostKey")) {
    const auto pem = read_file(path);
    auto key = pem ? ssh::PrivateKey::from_pem(to_text(*pem)) : Result<ssh::PrivateKey>(std::unexpected(pem.error()));
    if (!key) {  // DSA and such: sshd goes on without as well
      log::warn("a host key is not used", {{"path", path}, {"error", key.error()}});
      continue;
    }
    ssh::HostKey host{std::make_shared<ssh::PrivateKey>(std::move(*key)), {}};
    for (const std::string& file : config.all("HostCertificate")) {
      const auto text = read_file(file);
      const auto certificate =
          text ? ssh::Certificate::from_text(to_text(*text)) : Result<ssh::Certificate>(std::unexpected(text.error()));
      if (certificate && certificate->public_key() == host.signer->public_key()) host.certificate = certificate->wire();
    }
    keys.push_back(std::move(host));
  }
  if (keys.empty()) return fail(ErrorCode::kInvalidArgument, "there is no host key that can be used");
  return keys;
}

Result<std::shared_ptr<const ssh::ServerConfig>> server_config(const SshdConfig& config) {
  auto made = std::make_shared<ssh::ServerConfig>();
  MEZ_TRY(made->transport.host_keys, load_host_keys(config));
  ssh::AlgorithmPreferences& names = made->transport.algorithms;
  names.kex = config.algorithms("KexAlgorithms", names.kex);
  names.ciphers = config.algorithms("Ciphers", names.ciphers);
  names.macs = config.algorithms("MACs", names.macs);
  names.host_keys = config.algorithms("HostKeyAlgorithms", names.host_keys);
  if (const std::string banner = config.first("Banner"); !banner.empty() && banner != "none") {
    if (const auto text = read_file(banner)) made->banner = to_text(*text);
  }
  if (const std::string grace = config.first("LoginGraceTime"); !grace.empty()) {
    made->auth_timeout = std::chrono::seconds(number_with_unit(grace));
  }
  if (const std::string limit = config.first("RekeyLimit"); !limit.empty() && !limit.starts_with("default")) {
    made->transport.rekey.bytes = number_with_unit(limit);
  }
  if (const auto words = split(config.first("RekeyLimit"), ' '); words.size() > 1) {
    made->transport.rekey.time = std::chrono::seconds(number_with_unit(words.back()));
  }
  return made;
}

// The connection on fd from here to its end.
int serve(const Settings& settings, UniqueFd fd) {
  const auto config = server_config(settings.config);
  if (!config) {
    fmt::print(stderr, "regress_sshd: {}\n", config.error().message);
    return 1;
  }
  const auto ca = ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  Snapshot snapshot;
  snapshot.revision = 1;
  snapshot.cluster_name = "regress";
  snapshot.user_cas = {ca->public_key()};
  snapshot.recording_mode = RecordingMode::kOff;
  const std::string login = ::getenv("USER") ? ::getenv("USER") : "root";
  const std::vector<std::string> roles{fmt::format(
      R"({{"kind":"role","version":"v1","metadata":{{"name":"regress"}},"spec":{{"options":{{}},"allow":{{"node_labels":{{"*":"*"}},"logins":["{}"]}},"deny":{{}}}}}})",
      login)};
  auto role_set = access::RoleSet::parse(roles);
  if (!role_set) {
    fmt::print(stderr, "regress_sshd: {}\n", role_set.error().message);
    return 1;
  }
  snapshot.roles = *role_set;

  SnapshotStore snapshots;
  snapshots.put(std::move(snapshot));
  NodeFactsStore node(
      {.node_id = "regress", .node_name = "regress", .hostname = "localhost", .labels = {{"env", "test"}}});
  NoEvents events;
  net::WorkerPool workers(2);
  net::Shard shard;
  ServerOptions options;
  options.workers = &workers;
  options.snapshots = &snapshots;
  options.node = &node;
  options.events = &events;
  const auto subsystems = settings.config.all("Subsystem");
  for (const std::string& line : subsystems) {
    const auto name_end = line.find_first_of(" \t");
    if (line.substr(0, name_end) == "sftp") options.sftp_server = trim(std::string_view(line).substr(name_end));
  }
  if (options.sftp_server.starts_with("internal-sftp")) options.sftp_server = "/usr/lib/openssh/sftp-server";
  auto context = std::make_shared<ServerContext>(std::move(options));
  context->set_config(*config);
  bool authenticated = false;
  auto connection = std::make_shared<RegressConnection>(context, shard, settings.config, *ca,
                                                        settings.inetd ? "UNKNOWN" : "127.0.0.1", authenticated);
  context->add(connection->id(), connection);
  std::function<void()> watch = [&] {
    if (context->connection_count() == 0) return shard.stop();
    shard.after(std::chrono::milliseconds(10), [&] { watch(); });
  };
  shard.post([&, fd = std::move(fd)]() mutable {
    connection->start(std::move(fd), {});
    connection.reset();
    watch();
  });
  shard.run();
  workers.stop();
  return authenticated ? 0 : 255;  // as sshd's fatal()
}

// ---- connections from inetd, that is from a ProxyCommand

void copy_until_end(int from, int to) {
  char buffer[65536];
  for (ssize_t n; (n = ::read(from, buffer, sizeof buffer)) > 0;) {
    if (!write_all(to, BytesView(reinterpret_cast<const std::uint8_t*>(buffer), static_cast<std::size_t>(n)))) break;
  }
}

int serve_stdio(const Settings& settings) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
  // Programs of sessions must not hold the client's pipes.
  const int in = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  std::thread([in, to = pair[0]] {
    copy_until_end(in, to);
    ::shutdown(to, SHUT_WR);
  }).detach();
  std::thread outward([out, from = pair[0]] {
    copy_until_end(from, out);
    ::close(out);
  });
  ::fcntl(pair[1], F_SETFL, O_NONBLOCK);
  const int code = serve(settings, UniqueFd(pair[1]));
  outward.join();  // until the last output has gone
  ::_exit(code);
}

// ---- the daemon

volatile sig_atomic_t told_to_end = 0, told_to_reload = 0;

UniqueFd listen_on(const SshdConfig& config) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(number_with_unit(config.first("Port"))));
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 128) != 0)
    return {};
  return fd;
}

int run_daemon(const Settings& settings, char** argv) {
  UniqueFd listener = listen_on(settings.config);
  if (!listener) {
    fmt::print(stderr, "regress_sshd: can't listen on port {}\n", settings.config.first("Port"));
    return 255;
  }
  if (!settings.foreground) {
    if (const pid_t child = ::fork(); child != 0) return child > 0 ? 0 : 1;
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd : {0, 1}) ::dup2(null, fd);
    if (settings.log_path.empty()) ::dup2(null, 2);
  }
  struct sigaction action{};
  action.sa_handler = [](int) { told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  action.sa_handler = [](int) { told_to_reload = 1; };
  ::sigaction(SIGHUP, &action, nullptr);
  action.sa_handler = SIG_IGN;
  action.sa_flags = SA_NOCLDWAIT;
  ::sigaction(SIGCHLD, &action, nullptr);

  const std::string pid_file = settings.config.first("PidFile");
  if (!pid_file.empty() && !write_file(pid_file, as_bytes(fmt::format("{}\n", ::getpid())), 0644)) return 1;
  while (!told_to_end && !told_to_reload) {
    UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) continue;
    if (::fork() == 0) {
      struct sigaction plain{};
      plain.sa_handler = SIG_DFL;
      for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaction(number, &plain, nullptr);
      listener.reset();
      const Status ignored = net::prepare_socket(fd.get());
      ::_exit(ignored ? serve(settings, std::move(fd)) : 1);
    }
  }
  ::unlink(pid_file.c_str());
  if (told_to_reload) {
    listener.reset();
    ::execv("/proc/self/exe", argv);
  }
  return 0;
}

int run(int argc, char** argv) {
  Settings settings;
  std::optional<Error> wrong;
  bool ask_sshd = false;
  for (int option; (option = ::getopt(argc, argv, "46C:DE:Tb:c:def:g:h:ik:o:p:qrtu:V")) != -1;) {
    switch (option) {
      case 'f': settings.config_path = ::optarg; break;
      case 'o': settings.options.emplace_back(::optarg); break;
      case 'p': settings.options.push_back("Port=" + std::string(::optarg)); break;
      case 'h': settings.options.push_back("HostKey=" + std::string(::optarg)); break;
      case 'E': settings.log_path = ::optarg; break;
      case 'i': settings.inetd = true; break;
      case 'D': settings.foreground = true; break;
      case 't':
      case 'T': ask_sshd = true; break;
      case '?': return 1;
      default: break;
    }
  }
  if (ask_sshd) {
    ::execv("/usr/sbin/sshd", argv);
    return 127;
  }
  auto config = SshdConfig::load(settings.config_path, settings.options, ::getenv("USER") ? ::getenv("USER") : "root");
  if (!config) {
    fmt::print(stderr, "regress_sshd: {}\n", config.error().message);
    return 1;
  }
  settings.config = std::move(*config);
  if (!settings.log_path.empty()) {
    const int log_fd = ::open(settings.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd >= 0) ::dup2(log_fd, STDERR_FILENO);
  }
  ::signal(SIGPIPE, SIG_IGN);
  return settings.inetd ? serve_stdio(settings) : run_daemon(settings, argv);
}

}  // namespace
}  // namespace mezite::interop

int main(int argc, char** argv) {
  mezite::agent::run_forward_helper(argc, argv);
  return mezite::interop::run(argc, argv);
}
