#include "proxy/tunnel_registry.hh"

namespace mezite::proxy {

std::shared_ptr<Tunnel> TunnelRegistry::put(std::shared_ptr<Tunnel> tunnel) {
  std::lock_guard lock(mutex_);
  auto& place = tunnels_[tunnel->node_id()];
  return std::exchange(place, std::move(tunnel));
}

bool TunnelRegistry::remove(const Tunnel& tunnel) {
  std::lock_guard lock(mutex_);
  auto found = tunnels_.find(tunnel.node_id());
  if (found == tunnels_.end() || found->second.get() != &tunnel) return false;
  tunnels_.erase(found);
  return true;
}

std::shared_ptr<Tunnel> TunnelRegistry::find(std::string_view node_id) const {
  std::lock_guard lock(mutex_);
  auto found = tunnels_.find(std::string(node_id));
  return found == tunnels_.end() ? nullptr : found->second;
}

std::size_t TunnelRegistry::size() const {
  std::lock_guard lock(mutex_);
  return tunnels_.size();
}

std::vector<std::shared_ptr<Tunnel>> TunnelRegistry::all() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Tunnel>> list;
  for (const auto& [id, tunnel] : tunnels_) list.push_back(tunnel);
  return list;
}

void TunnelRegistry::refresh(std::int64_t revision) {
  for (const auto& tunnel : all()) tunnel->refresh(revision);
}

void TunnelRegistry::disconnect_all(const std::string& reason) {
  for (const auto& tunnel : all()) tunnel->disconnect(reason);
}

}  // namespace mezite::proxy
