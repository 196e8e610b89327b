// The proxy of a hub: web API on 3080, SSH for users on 3023, tunnels of agents on 3024, and the router between them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.hh"

namespace mezite::auth {
class Services;
}
namespace mezite::net {
class ShardPool;
}

namespace mezite::proxy {

// Use: shards.start(); start(); …; drain(); destroy. Addresses come from services.config.proxy. Services and shards
// outlive it; calls come from the thread that owns it (not a shard's).
class Proxy {
 public:
  // The shards run. Issues the hub's own certificates and opens the three listeners; any that fails takes the others
  // with it. The error names the address. Registers for revisions, removed nodes and the connection probe of Services.
  static Result<std::unique_ptr<Proxy>> start(auth::Services& services, net::ShardPool& shards);
  // Forgets the listeners of Services, stops the shards, then the workers: nothing may refer to the proxy any more.
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Stops accepting, answers /readyz with 503, and waits until what runs has ended or the limit is over; then cuts the
  // rest. Blocks.
  void drain(std::chrono::milliseconds limit);

  // The ports bound, for tests and logs.
  std::uint16_t web_port() const;
  std::uint16_t ssh_port() const;
  std::uint16_t tunnel_port() const;

 private:
  struct State;
  explicit Proxy(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::proxy
