#include "agent/workload/connections.hh"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>

namespace mezite::agent {
namespace {

ino_t inode_of(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

}  // namespace

void Connections::sweep() {
  std::erase_if(entries_, [](const auto& one) { return inode_of(one.first) != one.second.inode; });
}

Status Connections::put(int fd, std::shared_ptr<const Peer> peer) {
  ino_t inode = inode_of(fd);
  if (inode == 0) return fail(ErrorCode::kInternal, "the connection is no socket");
  std::lock_guard lock(mutex_);
  entries_.erase(fd);
  sweep();
  auto of_user =
      std::ranges::count_if(entries_, [&](const auto& one) { return one.second.peer->uid() == peer->uid(); });
  if (entries_.size() >= kMost || of_user >= static_cast<std::ptrdiff_t>(kMostOfOneUser)) {
    return fail(ErrorCode::kResourceExhausted, "too many connections: {} in all, {} of uid {}", entries_.size(),
                of_user, peer->uid());
  }
  entries_[fd] = {inode, std::move(peer)};
  return {};
}

std::shared_ptr<const Peer> Connections::find(std::string_view grpc_peer) const {
  if (!grpc_peer.starts_with("fd:")) return nullptr;
  grpc_peer.remove_prefix(3);
  int fd = -1;
  auto [end, problem] = std::from_chars(grpc_peer.data(), grpc_peer.data() + grpc_peer.size(), fd);
  if (problem != std::errc{} || end != grpc_peer.data() + grpc_peer.size()) return nullptr;
  std::lock_guard lock(mutex_);
  auto found = entries_.find(fd);
  if (found == entries_.end() || inode_of(fd) != found->second.inode) return nullptr;
  return found->second.peer;
}

}  // namespace mezite::agent
