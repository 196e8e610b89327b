// Which agents are connected, and how to tell them something.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/shard.hh"

namespace mezite::proxy {

// A request to dial back, as the agent gets it.
struct DialOrder {
  std::string token;
  std::string client_address;
  std::string user;
  std::int64_t least_revision = 0;
};

// One control connection, as others see it. Any thread: calls are handed to its shard; after its end they do nothing.
class Tunnel {
 public:
  virtual ~Tunnel() = default;
  virtual const std::string& node_id() const = 0;
  virtual void dial(DialOrder order) = 0;
  virtual void refresh(std::int64_t revision) = 0;
  virtual void disconnect(std::string reason) = 0;
};

// Any thread.
class TunnelRegistry {
 public:
  // The newest control connection of a node wins: gives the one that it takes the place of.
  std::shared_ptr<Tunnel> put(std::shared_ptr<Tunnel> tunnel);
  // False when a newer one is in its place.
  bool remove(const Tunnel& tunnel);
  std::shared_ptr<Tunnel> find(std::string_view node_id) const;
  bool connected(std::string_view node_id) const { return find(node_id) != nullptr; }
  std::size_t size() const;

  // To all of them: there is a newer snapshot.
  void refresh(std::int64_t revision);
  void disconnect_all(const std::string& reason);

 private:
  std::vector<std::shared_ptr<Tunnel>> all() const;

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Tunnel>> tunnels_;  // by node id
};

}  // namespace mezite::proxy
