// The harness of the tests against OpenSSH (interop.hh); those are in openssh_server_test.cc and
// openssh_client_test.cc.
#include "ssh/endpoint/interop.hh"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>

#include "base/text.hh"
#include "crypto/hash.hh"

namespace mezite::ssh::endpoint_testing {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mezite-ssh-XXXXXX").string();
  if (::mkdtemp(pattern.data())) path_ = pattern;
}
TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = ::popen(("exec 2>&1; timeout 60 sh -c '" + command + "'").c_str(), "r");
  if (!pipe) return outcome;
  std::array<char, 65536> buffer;
  while (const std::size_t n = ::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

bool drive(int fd, Endpoint& endpoint) {
  for (bool moved = true; moved;) {
    moved = false;
    while (true) {
      const BytesView out = endpoint.pending_output();
      if (out.empty()) break;
      const ssize_t n = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (n < 0) {
        endpoint.on_stream_end();
        return false;
      }
      endpoint.consume_output(static_cast<std::size_t>(n));
      moved = true;
    }
    if (endpoint.wants_close()) return !endpoint.pending_output().empty();
    const auto space = endpoint.read_space();
    if (space.empty()) return true;
    const ssize_t n = ::recv(fd, space.data(), space.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      endpoint.on_stream_end();
      return false;
    }
    endpoint.commit_read(static_cast<std::size_t>(n));
    moved = true;
  }
  return true;
}

bool drive_until(int fd, Endpoint& endpoint, const std::function<bool()>& done) {
  while (true) {
    const bool alive = drive(fd, endpoint);
    if (done()) return true;
    if (!alive) return false;
    pollfd entry{fd, static_cast<short>(POLLIN | (endpoint.pending_output().empty() ? 0 : POLLOUT)), 0};
    if (::poll(&entry, 1, 20'000) == 0) return false;
  }
}

Cost measure(const std::function<void()>& work) {
  const auto cpu = [](int who) {
    rusage usage{};
    ::getrusage(who, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  };
  const double self = cpu(RUSAGE_SELF), children = cpu(RUSAGE_CHILDREN);
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  return {wall.count(), cpu(RUSAGE_SELF) - self, cpu(RUSAGE_CHILDREN) - children};
}

void print_cost(std::string_view what, std::size_t bytes, const Cost& cost) {
  const double gib = static_cast<double>(bytes) / (1u << 30);
  fmt::print("{:<55} {:6.0f} MB/s  this process {:5.2f} s/GiB  children {:5.2f} s/GiB\n", what,
             static_cast<double>(bytes) / 1e6 / cost.wall_s, cost.self_cpu_s / gib, cost.children_cpu_s / gib);
}

UniqueFd connect_loopback(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

namespace {

UniqueFd listen_loopback(std::uint16_t& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(fd.get(), 64) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return {};
  }
  port = ntohs(address.sin_port);
  return fd;
}

// A session whose program is a few lines in here.
class TestSession final : public ChannelHandler, public std::enable_shared_from_this<TestSession> {
 public:
  void on_open(Channel channel) override { channel_ = std::move(channel); }
  void on_data(BytesView data, DataKind) override {
    if (command_ == "sha256") {
      hasher_.update(data);
      channel_.consumed(data.size());
    } else if (command_ == "cat") {
      pending_.append(as_text(data));
      flush();
    } else {
      channel_.consumed(data.size());
    }
  }
  void on_eof() override {
    eof_ = true;
    if (command_ == "sink") return end(0, "");
    if (command_ == "sha256") return end(0, to_hex(hasher_.finish()) + "\n");
    if (command_ == "cat") flush();
  }
  void on_writable() override { flush(); }
  void on_request(const ChannelRequest& request, RequestResponder responder) override {
    if (const auto* pty = std::get_if<PtyRequest>(&request)) {
      pty_ = fmt::format("{} {}x{} {} modes", pty->term, pty->size.columns, pty->size.rows, pty->modes.size());
      responder.accept();
    } else if (const auto* env = std::get_if<EnvRequest>(&request)) {
      env_ += env->name + "=" + env->value + "\n";
      responder.accept();
    } else if (const auto* exec = std::get_if<ExecRequest>(&request)) {
      responder.accept();
      execute(exec->command);
    } else if (std::holds_alternative<ShellRequest>(request)) {
      responder.accept();
      execute("echo shell");
    }
  }

 private:
  void execute(const std::string& line) {
    const auto space = line.find(' ');
    command_ = line.substr(0, space);
    const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
    if (command_ == "exit") return end(static_cast<std::uint32_t>(std::stoul(argument)), "");
    if (command_ == "echo") return end(0, argument + "\n");
    if (command_ == "pty") return end(0, pty_ + "\n");
    if (command_ == "env") return end(0, env_);
    if (command_ == "err") {
      channel_.write_stderr(as_bytes(argument + "\n"));
      return end(0, "");
    }
    if (command_ == "kill") {
      channel_.send_exit_signal({argument, false, "killed"});
      return channel_.close();
    }
    if (command_ == "send") {
      to_send_ = std::stoull(argument);
      return flush();
    }
  }
  void flush() {
    if (command_ == "send") {
      const Bytes zeros(65536);
      while (to_send_ > 0) {
        const std::size_t sent =
            channel_.write(BytesView(zeros).first(std::min<std::uint64_t>(to_send_, zeros.size())));
        if (sent == 0) return;
        to_send_ -= sent;
      }
      return end(0, "");
    }
    while (!pending_.empty()) {
      const std::size_t done = channel_.write(as_bytes(pending_));
      if (done == 0) return;
      pending_.erase(0, done);
      channel_.consumed(done);
    }
    if (eof_ && command_ == "cat") end(0, "");
  }
  void end(std::uint32_t code, const std::string& text) {
    command_ = "done";
    channel_.write(as_bytes(text));
    channel_.send_eof();
    channel_.send_exit_status(code);
    channel_.close();
  }

  Channel channel_;
  std::string command_, pty_, env_, pending_;
  std::uint64_t to_send_ = 0;
  bool eof_ = false;
  crypto::Hasher hasher_{crypto::HashAlgorithm::kSha256};
};

class EchoHandler final : public ChannelHandler {
 public:
  void on_open(Channel channel) override { channel_ = std::move(channel); }
  void on_data(BytesView data, DataKind) override {
    pending_.append(as_text(data));
    on_writable();
  }
  void on_eof() override {
    eof_ = true;
    on_writable();
  }
  void on_writable() override {
    const std::size_t done = channel_.write(as_bytes(pending_));
    pending_.erase(0, done);
    channel_.consumed(done);
    if (eof_ && pending_.empty()) {
      channel_.send_eof();
      channel_.close();
    }
  }

 private:
  Channel channel_;
  std::string pending_;
  bool eof_ = false;
};

}  // namespace

std::uint16_t free_port() {
  std::uint16_t port = 0;
  listen_loopback(port);
  return port;
}

struct TestServer::Connection final : ServerHandler {
  Connection(TestServer& owner, UniqueFd socket)
      : server(owner), fd(std::move(socket)), endpoint(owner.config_, *this, system_clock()) {}
  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    if (const TestServer::Decide decide = server.decide()) {
      decide(request, std::move(responder));
    } else {
      responder.accept();
    }
  }
  void on_authenticated(const PeerIdentity&) override { ++server.connections; }
  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    if (std::holds_alternative<SessionOpen>(open)) {
      responder.accept(std::make_shared<TestSession>());
    } else if (std::holds_alternative<DirectTcpipOpen>(open)) {
      responder.accept(std::make_shared<EchoHandler>());
    }
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) override {
    if (std::holds_alternative<TcpipForwardRequest>(request)) responder.accept_port(4711);
  }
  void on_closed(const Error&) override {}

  TestServer& server;
  UniqueFd fd;
  ServerEndpoint endpoint;
};

TestServer::TestServer(std::shared_ptr<ServerConfig> config) : config_(std::move(config)) {
  listener_ = listen_loopback(port_);
  thread_ = std::thread([this] { loop(); });
}
void TestServer::when_auth(Decide decide) {
  const std::lock_guard lock(mutex_);
  decide_ = std::move(decide);
}
TestServer::Decide TestServer::decide() const {
  const std::lock_guard lock(mutex_);
  return decide_;
}
TestServer::~TestServer() {
  stop_ = true;
  connect_loopback(port_);  // wakes the loop
  thread_.join();
}

void TestServer::loop() {
  std::vector<std::unique_ptr<Connection>> connections_now;
  while (!stop_) {
    std::vector<pollfd> entries{{listener_.get(), POLLIN, 0}};
    for (const auto& connection : connections_now) {
      const bool out = !connection->endpoint.pending_output().empty();
      const bool in = !connection->endpoint.read_space().empty();
      entries.push_back({connection->fd.get(), static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0)), 0});
    }
    ::poll(entries.data(), entries.size(), 1000);
    std::erase_if(connections_now,
                  [](const auto& connection) { return !drive(connection->fd.get(), connection->endpoint); });
    if (entries[0].revents) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (fd) connections_now.push_back(std::make_unique<Connection>(*this, std::move(fd)));
    }
  }
}

}  // namespace mezite::ssh::endpoint_testing
