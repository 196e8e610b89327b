// Accepting connections, with bounds on what one source and all half-open peers may take.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/unique_fd.hh"
#include "net/address.hh"
#include "net/shard.hh"

namespace mezite::net {

// Bounds for peers that are not authenticated yet: new connections per source and second (token bucket), half-open ones
// per source and in all. At a bound the source that has the most of them loses its oldest, so that a flood keeps nobody
// out (DHeat, CVE-2002-20001, and its simpler kin): however fast it is, who has one connection outlasts who has two.
// Any thread. A source is an IPv4 address or an IPv6 /64.
class Admission {
 public:
  struct Limits {
    double per_second = 20;
    double burst = 100;
    std::size_t half_open_per_source = 64;
    std::size_t half_open = 1024;
    std::size_t sources = 65536;  // remembered; the idle ones are forgotten first
  };
  // Held while the peer is half-open; release it (or drop it) when the peer has authenticated.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), id_(other.id_) {}
    Pass& operator=(Pass&& other) noexcept {
      release();
      owner_ = std::exchange(other.owner_, nullptr);
      id_ = other.id_;
      return *this;
    }
    ~Pass() { release(); }
    void release();

   private:
    friend class Admission;
    Pass(Admission* owner, std::uint64_t id) : owner_(owner), id_(id) {}
    Admission* owner_ = nullptr;
    std::uint64_t id_ = 0;
  };
  // Ends a half-open connection: called at most once, from any thread and with the Admission locked, so it only posts.
  // One that can't be ended (null) is never made to go: at a bound that only such ones fill, the new peer is refused.
  using Evict = std::function<void()>;

  explicit Admission(Limits limits, const Clock& clock = system_clock()) : limits_(limits), clock_(clock) {}

  // kResourceExhausted says which bound was hit. The Admission must outlive its passes.
  Result<Pass> admit(const Address& peer, Evict evict = {});
  std::size_t half_open() const;

 private:
  struct Source {
    double tokens = 0;
    SteadyTime filled;
    std::map<std::uint64_t, Evict> half_open;  // by age
  };
  using Sources = std::unordered_map<std::string, Source>;
  // How many half-open connections a source has, the age of its oldest, its name: the last one has the most, and among
  // those with as many the oldest.
  using Load = std::tuple<std::size_t, std::uint64_t, std::string_view>;
  static Load load_of(const Sources::value_type& source);
  void forget_idle(SteadyTime now);
  bool make_room();
  bool make_room(Sources::value_type& source);
  void add(Sources::value_type& source, std::uint64_t id, Evict evict);
  void drop(Sources::value_type& source, std::uint64_t id);

  const Limits limits_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Sources sources_;
  std::set<Load> loads_;                                         // of the sources that have half-open connections
  std::unordered_map<std::uint64_t, std::string_view> entries_;  // whose each of these is
  std::uint64_t next_ = 1;
};

// Accepted: non-blocking, close-on-exec, TCP_NODELAY.
using AcceptHandler = std::function<void(Shard& shard, UniqueFd fd, Address peer)>;

struct ListenOptions {
  int backlog = 1024;
  Admission* rate =
      nullptr;  // peers over their rate are closed at once; the pass is not kept. Must outlive the listener
};

// Accepts on its own shard and hands each connection to a shard of the pool in turn; the handler runs there. When the
// process is out of descriptors it pauses for 100 ms rather than spin.
class Listener {
 public:
  // An empty host listens on every address, IPv6 and IPv4. The error names address and cause ("port in use").
  // To be called on `on`'s thread or before it runs.
  static Result<std::unique_ptr<Listener>> open(Shard& on, ShardPool& pool, const HostPort& address,
                                                AcceptHandler handler, ListenOptions options = {});
  // A Unix socket (SOCK_STREAM); replaces a stale socket file, and removes its own at the end.
  static Result<std::unique_ptr<Listener>> open_unix(Shard& on, ShardPool& pool, const std::string& path, mode_t mode,
                                                     AcceptHandler handler, ListenOptions options = {});
  ~Listener();  // on its shard, or after that has stopped

  // The port that was bound (for ":0").
  std::uint16_t port() const { return port_; }
  // No more connections from here on. On its shard.
  void close();

 private:
  Listener(Shard& on, ShardPool& pool, AcceptHandler handler, ListenOptions options);
  Status start();
  void accept_ready();

  Shard& on_;
  ShardPool& pool_;
  AcceptHandler handler_;
  ListenOptions options_;
  UniqueFd fd_;
  std::string unix_path_;
  std::uint16_t port_ = 0;
  TimerId pause_{};
};

}  // namespace mezite::net
