// What the parts of the proxy share.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "auth/services.hh"
#include "net/listener.hh"
#include "net/shard.hh"
#include "proxy/live_set.hh"
#include "proxy/one_time.hh"
#include "proxy/router.hh"
#include "proxy/tunnel_registry.hh"
#include "ssh/endpoint/server.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::proxy {

// Who may be connected to which node, for one connection within 30 seconds, from the address that asked.
struct DialTicket {
  std::string user;
  std::string node_id;
  std::string client_ip;
};

// A connection that has not authenticated yet: how it is ended for one that comes after it. On its shard.
struct HalfOpen {
  std::function<void()> end;
};
// Counts it against the bounds; `half` is the connection's.
Result<net::Admission::Pass> admit(net::Admission& admission, net::Shard& shard, const net::Address& peer,
                                   const std::shared_ptr<HalfOpen>& half);

// Lives as long as the proxy; every connection refers to it. All members may be used from any thread.
struct Context {
  Context(auth::Services& services_in, net::ShardPool& shards_in);

  // The SSH settings of the two SSH listeners with the hub's present host certificate.
  std::shared_ptr<const ssh::ServerConfig> front_config() const;
  std::shared_ptr<const ssh::ServerConfig> tunnel_config() const;
  void set_configs(std::shared_ptr<const ssh::ServerConfig> front, std::shared_ptr<const ssh::ServerConfig> tunnel);

  // Stores an event, on a worker; one that can't be stored is in the hub's own log at least.
  void record(audit::Event event);

  auth::Services& services;
  net::ShardPool& shards;
  LiveSet live;
  TunnelRegistry tunnels;
  Router router;
  OneTimeBook<DialTicket> tickets;
  ssh::SignatureCache signatures;
  net::Admission front_admission;
  net::Admission tunnel_admission;
  std::atomic<bool> draining{false};
  std::uint16_t ssh_port = 0;  // bound; set before connections come

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ssh::ServerConfig> front_;
  std::shared_ptr<const ssh::ServerConfig> tunnel_;
};

}  // namespace mezite::proxy
