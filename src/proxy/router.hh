// Gets a connection to a node: asks its agent to dial back and matches what comes in on 3024.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"
#include "proxy/one_time.hh"
#include "proxy/tunnel_registry.hh"

namespace mezite::proxy {

struct DialTarget {
  std::string node_id;
  std::string node_name;
  std::string last_seen;       // for the error text: "2026-03-24T09:15:00.000Z", or empty
  std::string client_address;  // "203.0.113.7:50122"
  std::string user;
  std::int64_t least_revision = 0;
};

struct Dialed {
  UniqueFd fd;
  Bytes first_bytes;  // what the agent sent behind its preface
};

class Router {
 public:
  static constexpr std::chrono::seconds kDialLife{10};
  static constexpr std::size_t kPendingLimit = 4096;

  Router(TunnelRegistry& tunnels, const Clock& clock) : tunnels_(tunnels), tokens_(kDialLife, kPendingLimit, clock) {}

  using Then = std::move_only_function<void(Result<Dialed>)>;
  // On home's thread; then is called there once, later, within kDialLife. kUnavailable: not connected, or the agent
  // could not dial; kTimeout; kResourceExhausted. The messages are fit for users.
  void dial(net::Shard& home, DialTarget target, Then then);

  // A data connection with this token came in: hands it over. False when nobody waits for it (any more).
  bool arrived(std::string_view token, UniqueFd fd, Bytes first_bytes);
  // The agent of this node says that it can't.
  void failed(std::string_view token, std::string_view node_id, std::string_view why);

 private:
  struct Pending;
  void finish(const std::shared_ptr<Pending>& pending, Result<Dialed> result);

  TunnelRegistry& tunnels_;
  OneTimeBook<std::shared_ptr<Pending>> tokens_;
};

}  // namespace mezite::proxy
