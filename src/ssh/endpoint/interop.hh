// For tests against OpenSSH: a loop around poll(2) that drives endpoints on loopback sockets, a small SSH server on it,
// and running of stock programs.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::ssh::endpoint_testing {

// A folder that goes away.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Outcome {
  int status = -1;  // exit code; 128 + signal
  std::string out;  // stdout and stderr together
};
// sh -c command, with a limit of a minute.
Outcome run(const std::string& command);

// Moves what can be moved between socket and endpoint, without waiting. False when the connection is over.
bool drive(int fd, Endpoint& endpoint);
// drive() and poll(2) until done() or the end; false when it ended, or nothing happened for 20 seconds.
bool drive_until(int fd, Endpoint& endpoint, const std::function<bool()>& done);

// What a measured piece of work cost: this process, and its children that have ended.
struct Cost {
  double wall_s = 0;
  double self_cpu_s = 0;
  double children_cpu_s = 0;
};
Cost measure(const std::function<void()>& work);
void print_cost(std::string_view what, std::size_t bytes, const Cost& cost);

UniqueFd connect_loopback(std::uint16_t port);
std::uint16_t free_port();

// An SSH server of ours on a loopback port, in a thread of its own. Commands that it knows:
//   exit N · echo TEXT · err TEXT · kill SIGNAL · sha256 (of stdin) · send N (bytes) · cat · pty (what was asked for) ·
//   env
// direct-tcpip gives an echo.
class TestServer {
 public:
  explicit TestServer(std::shared_ptr<ServerConfig> config);
  ~TestServer();
  std::uint16_t port() const { return port_; }

  // Who gets in, for connections from now on. Default: everybody.
  using Decide = std::function<void(const AuthRequest&, AuthResponder)>;
  void when_auth(Decide decide);
  std::atomic<std::uint64_t> connections{0};

 private:
  struct Connection;
  void loop();
  Decide decide() const;

  std::shared_ptr<const ServerConfig> config_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;  // guards decide_
  Decide decide_;
  std::thread thread_;
};

}  // namespace mezite::ssh::endpoint_testing
