#include "proxy/live_set.hh"

#include <vector>

namespace mezite::proxy {

LiveSet::Id LiveSet::add(net::Shard& shard, LiveKind kind, std::shared_ptr<void> keep, std::function<void()> stop) {
  std::lock_guard lock(mutex_);
  Id id = next_++;
  entries_.emplace(id, Entry{&shard, kind, std::move(keep), std::move(stop)});
  return id;
}

void LiveSet::remove(Id id) {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(id);
    if (found == entries_.end()) return;
    entry = std::move(found->second);
    entries_.erase(found);
  }
  changed_.notify_all();
  net::Shard* shard = entry.shard;
  shard->post([entry = std::move(entry)] {});
}

std::size_t LiveSet::count_locked(LiveKind kind) const {
  std::size_t count = 0;
  for (const auto& [id, entry] : entries_) count += entry.kind == kind ? 1 : 0;
  return count;
}

std::size_t LiveSet::count(LiveKind kind) const {
  std::lock_guard lock(mutex_);
  return count_locked(kind);
}

void LiveSet::stop_all(LiveKind kind) {
  std::lock_guard lock(mutex_);
  for (auto& [id, entry] : entries_) {
    if (entry.kind == kind) entry.shard->post([keep = entry.keep, stop = entry.stop] { stop(); });
  }
}

bool LiveSet::wait_empty(LiveKind kind, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit, [&] { return count_locked(kind) == 0; });
}

void LiveSet::clear() {
  std::unordered_map<Id, Entry> left;
  std::lock_guard lock(mutex_);
  left.swap(entries_);
}

}  // namespace mezite::proxy
