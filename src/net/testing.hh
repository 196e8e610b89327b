// What the tests of net share: shards on a thread, socket pairs, waiting for a condition of another thread.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <condition_variable>
#include <future>
#include <thread>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/connect.hh"
#include "net/listener.hh"
#include "net/shard.hh"

namespace mezite::net::testing {

inline constexpr std::chrono::seconds kPatience{20};

// A shard that runs on a thread of its own.
class RunningShard {
 public:
  RunningShard() : pool_(1) { pool_.start(); }
  ~RunningShard() { pool_.stop(); }
  Shard& operator*() { return pool_.at(0); }
  Shard* operator->() { return &pool_.at(0); }
  ShardPool& pool() { return pool_; }

  // Runs f on the shard and gives its result.
  template <class F>
  auto call(F f) -> std::invoke_result_t<F&> {
    std::promise<std::invoke_result_t<F&>> promise;
    auto future = promise.get_future();
    pool_.at(0).post([&] {
      if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
        f();
        promise.set_value();
      } else {
        promise.set_value(f());
      }
    });
    return future.get();
  }

 private:
  ShardPool pool_;
};

// One value from a shard to the test.
template <class T>
class Box {
 public:
  void put(T value) {
    std::lock_guard lock(mutex_);
    value_.emplace(std::move(value));
    wake_.notify_all();
  }
  // Empty after kPatience.
  std::optional<T> take(std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, patience, [&] { return value_.has_value(); });
    return std::exchange(value_, std::nullopt);
  }
  bool full() {
    std::lock_guard lock(mutex_);
    return value_.has_value();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<T> value_;
};

// Two connected TCP sockets on loopback; left is non-blocking (for the shard), right is blocking (for the test).
struct TcpPair {
  UniqueFd left;
  UniqueFd right;
  TcpPair() {
    UniqueFd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listening.get(), generic, size), 0);
    EXPECT_EQ(::listen(listening.get(), 1), 0);
    EXPECT_EQ(::getsockname(listening.get(), generic, &size), 0);
    right.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(right.get(), generic, size), 0);
    left.reset(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(prepare_socket(left.get()));
  }
};

inline void send_all(int fd, BytesView bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}
inline void send_all(int fd, std::string_view text) { send_all(fd, as_bytes(text)); }

// Up to count bytes, or what came until the peer's end.
inline std::string receive(int fd, std::size_t count = SIZE_MAX) {
  std::string out;
  std::array<char, 65536> buffer;
  while (out.size() < count) {
    pollfd waiting{fd, POLLIN, 0};
    if (::poll(&waiting, 1, 20'000) <= 0) {
      ADD_FAILURE() << "nothing came, after " << out.size() << " bytes";
      return out;
    }
    ssize_t n = ::recv(fd, buffer.data(), std::min(buffer.size(), count - out.size()), 0);
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

// Makes the close of this socket a reset (RST) instead of an end (FIN).
inline void reset_on_close(int fd) {
  linger hard{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

inline Bytes pattern_bytes(std::size_t size, std::uint32_t seed = 1) {
  Bytes out(size);
  std::uint32_t x = seed;
  for (auto& byte : out) {
    x = x * 1664525u + 1013904223u;
    byte = static_cast<std::uint8_t>(x >> 24);
  }
  return out;
}

}  // namespace mezite::net::testing
