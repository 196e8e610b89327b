// Who is at the other end of each connection that gRPC was handed, by descriptor, as gRPC names its peers ("fd:12").
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string_view>

#include "agent/workload/peer.hh"

namespace mezite::agent {

// Thread-safe. gRPC does not say when it closes a connection; whether a descriptor still is the socket that was put is
// told by its inode, so that a number that came to mean another connection never speaks for the one before.
class Connections {
 public:
  static constexpr std::size_t kMost = 1024;
  static constexpr std::size_t kMostOfOneUser = 128;

  // kResourceExhausted at a bound.
  Status put(int fd, std::shared_ptr<const Peer> peer);
  std::shared_ptr<const Peer> find(std::string_view grpc_peer) const;  // null: nobody that is known

 private:
  struct Entry {
    ino_t inode = 0;
    std::shared_ptr<const Peer> peer;
  };
  void sweep();

  mutable std::mutex mutex_;
  std::map<int, Entry> entries_;
};

}  // namespace mezite::agent
