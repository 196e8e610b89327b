// What runs in the proxy: keeps it alive, stops it, waits for its end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "net/shard.hh"

namespace mezite::proxy {

enum class LiveKind {
  kCarrying,    // a user's connection through the hub: what a drain waits for
  kConnection,  // everything else that is open
};

// Any thread.
class LiveSet {
 public:
  using Id = std::uint64_t;

  // Holds `keep` until remove() or clear(); stop() runs on the shard when everything is to end.
  Id add(net::Shard& shard, LiveKind kind, std::shared_ptr<void> keep, std::function<void()> stop);
  // What was kept is let go of at the end of the shard's turn, so that it may be running. Unknown ids are fine.
  void remove(Id id);
  std::size_t count(LiveKind kind) const;

  void stop_all(LiveKind kind);
  // False when some are left at the end of the time. Not on a shard's thread.
  bool wait_empty(LiveKind kind, std::chrono::milliseconds limit);
  // After the shards have stopped.
  void clear();

 private:
  struct Entry {
    net::Shard* shard = nullptr;
    LiveKind kind = LiveKind::kConnection;
    std::shared_ptr<void> keep;
    std::function<void()> stop;
  };
  std::size_t count_locked(LiveKind kind) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<Id, Entry> entries_;
  Id next_ = 1;
};

}  // namespace mezite::proxy
