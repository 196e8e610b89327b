// What the agent decides with: roles, CA keys, locks, as of one revision.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "access/role_set.hh"
#include "base/clock.hh"
#include "recording/recipient.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::agent {

struct Lock {
  enum class Kind { kUser, kRole, kNode, kLogin };
  Kind kind = Kind::kUser;
  std::string name;
  std::string message;
  SystemTime expires_at = SystemTime::max();
};

// What the cluster says about recordings (recording.mode).
enum class RecordingMode { kOff, kNode, kNodeSync };

// Immutable once it is in a SnapshotStore.
struct Snapshot {
  std::int64_t revision = 0;  // 0: none yet; nobody gets in with that
  std::string cluster_name;
  std::vector<ssh::PublicKey> user_cas;
  std::vector<ssh::PublicKey> host_cas;
  access::RoleSet roles = access::RoleSet::built_in();
  std::vector<Lock> locks;
  std::unordered_set<std::uint64_t> revoked_serials;  // of user certificates that are good no more
  std::unordered_set<std::string> revoked_key_ids;
  RecordingMode recording_mode = RecordingMode::kNode;
  std::vector<recording::Recipient> recording_recipients;  // recordings are encrypted to these
  recording::Recipient recording_key;                      // the hub's: each recording's chain key is sealed to it
};

// The snapshot in force. Thread-safe.
class SnapshotStore {
 public:
  SnapshotStore() : current_(std::make_shared<const Snapshot>()) {}

  std::shared_ptr<const Snapshot> current() const {
    std::lock_guard lock(mutex_);
    return current_;
  }
  // Keeps the newer one; says whether that is the one given.
  bool put(Snapshot snapshot) {
    std::lock_guard lock(mutex_);
    if (snapshot.revision < current_->revision) return false;
    current_ = std::make_shared<const Snapshot>(std::move(snapshot));
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> current_;
};

}  // namespace mezite::agent
