// What connected agents say of the recordings that wait at their nodes.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace mezite::auth {

struct RecordingBacklog {
  std::string node_name;
  std::int64_t files = 0, bytes = 0, limit_bytes = 0, oldest_age_ms = 0, set_aside = 0, upload_failures = 0;
};

// By node id. Thread-safe.
class RecordingBacklogs {
 public:
  void put(std::string_view node_id, RecordingBacklog backlog) {
    const std::lock_guard lock(mutex_);
    backlogs_[std::string(node_id)] = std::move(backlog);
  }
  void remove(std::string_view node_id) {
    const std::lock_guard lock(mutex_);
    if (auto at = backlogs_.find(node_id); at != backlogs_.end()) backlogs_.erase(at);
  }
  std::optional<RecordingBacklog> get(std::string_view node_id) const {
    const std::lock_guard lock(mutex_);
    auto at = backlogs_.find(node_id);
    if (at == backlogs_.end()) return std::nullopt;
    return at->second;
  }
  std::map<std::string, RecordingBacklog, std::less<>> all() const {
    const std::lock_guard lock(mutex_);
    return backlogs_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, RecordingBacklog, std::less<>> backlogs_;
};

}  // namespace mezite::auth
