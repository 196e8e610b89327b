// ssh_probe_server: our server for other implementations' clients. One process serves every row of the matrix; each row
// has a port of its own, where exactly the row's algorithms are offered.
//
//   ssh_probe_server --list
//   ssh_probe_server --authorized PUBLIC_KEY_FILE … --host-key PRIVATE_KEY_FILE …
//
// Reads commands from stdin, answers each with one line, ends with its input:
//   listen KEX HOSTKEY CIPHER MAC REKEY_BYTES   → "port N"
//   report N                                    → "report OUTCOME DESCRIPTION", closes the port; waits for its
//                                                 connection to end first. OUTCOME: ok, or why the connection ended
//                                                 with its spaces as underscores
// Programs that a session can run: "store" (sends back what came, once its input has ended) and "exit N".
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "probe.hh"
#include "ssh/endpoint/interop.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::interop {
namespace {

using namespace ssh;

constexpr std::size_t kMaxStoredBytes = 16 << 20;

class Session final : public ChannelHandler {
 public:
  explicit Session(bool& finished) : finished_(finished) {}
  void on_open(Channel channel) override { channel_ = std::move(channel); }
  void on_data(BytesView data, DataKind) override {
    if (stored_.size() + data.size() <= kMaxStoredBytes) stored_.insert(stored_.end(), data.begin(), data.end());
    channel_.consumed(data.size());
  }
  void on_eof() override {
    eof_ = true;
    send();
  }
  void on_writable() override { send(); }
  void on_request(const ChannelRequest& request, RequestResponder responder) override {
    if (std::holds_alternative<EnvRequest>(request)) return responder.accept();
    const auto* exec = std::get_if<ExecRequest>(&request);
    if (!exec || running_) return responder.reject();
    const auto words = words_of(exec->command);
    if (words.size() == 1 && words[0] == "store") {
      running_ = true;
      responder.accept();
      return send();
    }
    if (words.size() == 2 && words[0] == "exit") {
      responder.accept();
      return end(static_cast<std::uint32_t>(std::strtoul(words[1].c_str(), nullptr, 10)));
    }
    responder.reject();
  }

 private:
  void send() {
    if (!running_ || !eof_) return;
    while (sent_ < stored_.size()) {
      const std::size_t taken = channel_.write(BytesView(stored_).subspan(sent_));
      if (taken == 0) return;
      sent_ += taken;
    }
    end(0);
  }
  void end(std::uint32_t code) {
    running_ = false;
    channel_.send_eof();
    channel_.send_exit_status(code);
    channel_.close();
    finished_ = true;
  }

  bool& finished_;
  Channel channel_;
  Bytes stored_;
  std::size_t sent_ = 0;
  bool eof_ = false;
  bool running_ = false;
};

class Connection final : public ServerHandler {
 public:
  Connection(UniqueFd socket, std::shared_ptr<const ServerConfig> config, const std::vector<PublicKey>& authorized)
      : fd(std::move(socket)), authorized_(authorized), endpoint(std::move(config), *this, system_clock()) {}

  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    if (request.user == "alice" && request.key && std::ranges::find(authorized_, *request.key) != authorized_.end()) {
      responder.accept();
    } else {
      responder.reject();
    }
  }
  void on_authenticated(const PeerIdentity&) override {}
  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    if (std::holds_alternative<SessionOpen>(open)) responder.accept(std::make_shared<Session>(finished));
  }
  void on_closed(const Error& error) override { ending = error.message; }

  UniqueFd fd;
  bool finished = false;  // a program ran to its end
  std::string ending = "none";

 private:
  const std::vector<PublicKey>& authorized_;

 public:
  ServerEndpoint endpoint;
};

struct Port {
  UniqueFd listener;
  std::shared_ptr<const ServerConfig> config;
  std::unique_ptr<Connection> connection;  // one at a time
  std::string outcome = "no_connection - - - - - - 0 -";
  bool reporting = false;
};

class Server {
 public:
  bool load(int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
      const std::string& path = arguments[i + 1];
      if (arguments[i] == "--host-key") {
        auto identity = load_identity(path);
        if (!identity) return complain(path, identity.error());
        host_keys_.push_back({identity->signer, identity->certificate ? identity->certificate->wire() : Bytes()});
      } else if (arguments[i] == "--authorized") {
        auto text = read_text(path);
        auto key = text ? PublicKey::from_text(*text) : Result<PublicKey>(std::unexpected(text.error()));
        if (!key) return complain(path, key.error());
        authorized_.push_back(*key);
      } else {
        return complain(arguments[i], {ErrorCode::kInvalidArgument, "there is no such option"});
      }
    }
    return !host_keys_.empty();
  }

  int run() {
    while (true) {
      std::vector<pollfd> entries{{STDIN_FILENO, POLLIN, 0}};
      for (auto& [number, port] : ports_) {
        short events = POLLIN;
        if (port.connection) {
          const ServerEndpoint& endpoint = port.connection->endpoint;
          events = static_cast<short>((port.connection->endpoint.read_space().empty() ? 0 : POLLIN) |
                                      (endpoint.pending_output().empty() ? 0 : POLLOUT));
        }
        entries.push_back({port.connection ? port.connection->fd.get() : port.listener.get(), events, 0});
      }
      ::poll(entries.data(), entries.size(), 200);
      if (entries[0].revents && !read_commands()) return 0;
      for (auto entry = ports_.begin(); entry != ports_.end();) {
        serve(entry->second);
        const bool over = entry->second.reporting && !entry->second.connection;
        if (over) say("report " + entry->second.outcome);
        entry = over ? ports_.erase(entry) : std::next(entry);
      }
    }
  }

 private:
  static bool complain(const std::string& what, const Error& error) {
    fmt::print(stderr, "ssh_probe_server: {}: {}\n", what, error.message);
    return false;
  }
  static void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
  }

  bool read_commands() {
    char buffer[4096];
    const ssize_t size = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (size <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(size));
    for (std::size_t end; (end = pending_.find('\n')) != std::string::npos; pending_.erase(0, end + 1)) {
      obey(words_of(std::string_view(pending_).substr(0, end)));
    }
    return true;
  }

  void obey(const std::vector<std::string>& words) {
    if (words.size() == 2 && words[0] == "report") {
      const auto port = ports_.find(std::atoi(words[1].c_str()));
      if (port == ports_.end()) return say("error no such port");
      serve(port->second);  // a connection that waits in the backlog counts
      port->second.reporting = true;
      return;
    }
    const auto cell = parse_cell(words, 1);
    if (words.empty() || words[0] != "listen" || !cell) return say("error no such command");
    auto config = std::make_shared<ServerConfig>();
    config->transport.host_keys = host_keys_;
    apply(*cell, config->transport);
    Port port{.listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
              .config = std::move(config)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(port.listener.get(), generic, size) != 0 || ::listen(port.listener.get(), 8) != 0 ||
        ::getsockname(port.listener.get(), generic, &size) != 0) {
      return say("error listening failed");
    }
    const int number = ntohs(address.sin_port);
    ports_[number] = std::move(port);
    say(fmt::format("port {}", number));
  }

  void serve(Port& port) {
    if (!port.connection) {
      UniqueFd fd(::accept4(port.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) return;
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      port.connection = std::make_unique<Connection>(std::move(fd), port.config, authorized_);
    }
    Connection& connection = *port.connection;
    const auto deadline = connection.endpoint.next_deadline();
    if (deadline && *deadline <= system_clock().steady()) connection.endpoint.on_time();
    if (endpoint_testing::drive(connection.fd.get(), connection.endpoint)) return;
    std::string why = connection.finished ? "ok" : connection.ending;
    std::ranges::replace(why, ' ', '_');
    port.outcome = why + " " + describe(connection.endpoint.transport());
    port.connection.reset();
  }

  std::vector<HostKey> host_keys_;
  std::vector<PublicKey> authorized_;
  std::map<int, Port> ports_;
  std::string pending_;
};

}  // namespace
}  // namespace mezite::interop

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    mezite::interop::print_lists(mezite::ssh::Role::kServer);
    return 0;
  }
  mezite::interop::Server server;
  if (!server.load(argc, argv)) return 2;
  return server.run();
}
