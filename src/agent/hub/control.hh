// The control connection: an SSH connection to the hub's tunnel port that is kept up for ever. The hub says on it what
// the agent is to do; the agent says that it lives. docs/protocols.md, "Port 3024".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "access/labels.hh"
#include "agent/hub/balancer.hh"
#include "agent/hub/identity.hh"
#include "base/clock.hh"
#include "net/address.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"

namespace mezite::agent {

struct DialOrder {
  std::string token;
  net::Address client;  // where the user really is
  std::int64_t least_revision = 0;
  std::string user;
};

// What the agent says of itself.
struct AgentReport {
  std::string hostname;
  access::Labels labels;
  std::int64_t snapshot_revision = 0;
  std::int32_t sessions = 0;
  std::int64_t spool_bytes = 0;
  struct Recordings {  // as RecordingBacklog of the protocol has it
    std::int64_t files = 0, bytes = 0, limit_bytes = 0, oldest_age_ms = 0, set_aside = 0, upload_failures = 0;
  } recordings;
  CaReport cas;
  std::string enhanced_recording;  // "off", "on: …", "unavailable: …"
};

// Called on the shard.
struct ControlCallbacks {
  std::function<AgentReport()> report;
  std::function<void()> connected;
  std::function<void(DialOrder order)> dial;
  std::function<void(std::int64_t revision)> refresh;
  std::function<void(std::string_view session_id, std::string_view reason)> terminate;
};

// All calls on the shard's thread.
class ControlConnection {
 public:
  // Shard, workers and clock outlive it.
  ControlConnection(net::Shard& shard, net::WorkerPool& workers, const Clock& clock, net::HostPort hub,
                    ControlCallbacks callbacks, BalancerTls balancer = {});
  ~ControlConnection();

  // For connections from now on.
  void set_identity(std::shared_ptr<const AgentIdentity> identity);
  // Connects, and again whenever the connection ends, with jittered exponential back-off from 0.2 to 20 seconds.
  void start();
  // For good.
  void stop();

  bool is_up() const;
  void dial_failed(std::string_view token, std::string_view error);
  // Tells the hub now what the report says, and not at the next heartbeat only.
  void send_heartbeat();

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

// The wait before try number `failures` (1, 2, …); random is any number, for the jitter (half to all of the wait).
std::chrono::milliseconds reconnect_delay(unsigned failures, std::uint64_t random);

}  // namespace mezite::agent
