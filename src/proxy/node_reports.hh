// What agents say of themselves, written to the database together every few seconds rather than one by one.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "identity/nodes.hh"
#include "proxy/context.hh"

namespace mezite::proxy {

class NodeReports {
 public:
  static constexpr std::chrono::seconds kFlushEvery{3};
  static constexpr std::chrono::seconds kLeftAfter{30};  // a node that comes back within it has not left

  explicit NodeReports(Context& context) : context_(context) {}

  // Any thread. A later report of a node is laid over the one that waits.
  void add(identity::NodeReport report);
  // Writes what waits now, on a worker.
  void flush();
  // On its shard: flushes every few seconds, until the shard stops.
  void start(net::Shard& shard);

  // A control connection was opened or lost: node.connected at once, node.left when it stays away.
  void connected(net::Shard& shard, const std::string& node_id, const std::string& node_name,
                 const std::string& client_ip);
  void lost(net::Shard& shard, const std::string& node_id, const std::string& node_name, const std::string& client_ip,
            const std::string& why);

 private:
  Context& context_;
  std::mutex mutex_;
  std::map<std::string, identity::NodeReport> waiting_;
  std::map<std::string, std::uint64_t> epochs_;  // of the last connect or loss, by node id
};

}  // namespace mezite::proxy
