// A web server for tests: answers each request with what a function says. One request, one connection.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hh"

namespace mezite::aws {

class ScriptedServer {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    bool silent = false;    // says nothing and closes
    std::string headers{};  // more lines, each with its end
  };
  // request: head and body as they came.
  using Handler = std::function<Answer(const std::string& request)>;

  explicit ScriptedServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    EXPECT_EQ(::getsockname(listener_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    stopping_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    while (!stopping_) {
      const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer.get() < 0) return;
      const std::string request = read_request(peer.get());
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const Answer answer = handler_(request);
      if (answer.silent) continue;
      const std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " X\r\n" + answer.headers +
                               "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body;
      (void)!::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
  }

  static std::string read_request(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
      if (const std::size_t end = text.find("\r\n\r\n"); end != std::string::npos) {
        std::size_t length = 0;
        if (const std::size_t at = text.find("Content-Length: "); at < end) {
          std::from_chars(text.data() + at + 16, text.data() + end, length);
        }
        if (text.size() >= end + 4 + length) return text;
      }
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) return text;
      text.append(buffer, static_cast<std::size_t>(n));
    }
  }

  Handler handler_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace mezite::aws
