// The way of complete recordings from the hub's disk, where they are acknowledged, into an object store.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/back_off.hh"
#include "recording/object_store.hh"
#include "recording/storage.hh"

namespace mezite::recording {

// One thread that moves what waits, oldest first, for ever: a failure of one holds up no other, each is tried again
// with growing, jittered pauses. The local copy goes when the store has acknowledged the object, never before.
// Thread-safe.
class Archive {
 public:
  struct Callbacks {  // on the archive's thread
    std::function<void(const StoredRecording& recording)> stored;
    std::function<void(const StoredRecording& recording, const Error& error)> failed;
  };
  // Storage, store and clock outlive it.
  Archive(LocalStorage& storage, ObjectStore& store, const Clock& clock, Callbacks callbacks, std::uint64_t seed);
  ~Archive();  // stop()
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // A recording has become complete.
  void kick();
  // Ends after the call of the store that it is in.
  void stop();

  struct Status {
    std::uint64_t waiting = 0;  // recordings
    std::uint64_t waiting_bytes = 0;
    std::chrono::milliseconds oldest_age{0};  // since that one's session began
    std::uint64_t stored = 0;                 // since the start
    std::uint64_t failures = 0;
  };
  Status status() const;

 private:
  struct Wait {
    int failures = 0;
    SteadyTime until;
  };
  void run();
  SteadyTime round();
  mezite::Status move(const StoredRecording& recording);
  void look();

  LocalStorage& storage_;
  ObjectStore& store_;
  const Clock& clock_;
  const Callbacks callbacks_;
  Jitter random_;
  std::map<std::string, Wait, std::less<>> waits_;  // the thread's own
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Status status_;
  bool kicked_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mezite::recording
