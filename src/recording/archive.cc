#include "recording/archive.hh"

#include <algorithm>

#include "base/log.hh"
#include "base/text.hh"
#include "recording/examine.hh"

namespace mezite::recording {
namespace {

constexpr std::chrono::milliseconds kFirstWait{1000};
constexpr std::chrono::minutes kLongestWait{5};
constexpr std::chrono::seconds kIdle{30};
constexpr int kMaxUnreachable = 2;  // in one round: then the store is away, and the rest waits for the next round

bool is_unreachable(ErrorCode code) { return code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout; }

}  // namespace

Archive::Archive(LocalStorage& storage, ObjectStore& store, const Clock& clock, Callbacks callbacks, std::uint64_t seed)
    : storage_(storage), store_(store), clock_(clock), callbacks_(std::move(callbacks)), random_(seed), thread_([this] {
        run();
      }) {}

Archive::~Archive() { stop(); }

void Archive::kick() {
  {
    const std::lock_guard lock(mutex_);
    kicked_ = true;
  }
  wake_.notify_all();
}

void Archive::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Archive::Status Archive::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void Archive::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    kicked_ = false;
    lock.unlock();
    const SteadyTime next = round();
    look();
    lock.lock();
    const auto pause = std::max<std::chrono::nanoseconds>(next - clock_.steady(), std::chrono::milliseconds(10));
    wake_.wait_for(lock, pause, [this] { return kicked_ || stopping_; });
  }
}

SteadyTime Archive::round() {
  SteadyTime next = clock_.steady() + kIdle;
  const auto waiting = storage_.unarchived();
  std::erase_if(waits_, [&](const auto& wait) {
    return std::ranges::none_of(waiting, [&](const auto& one) { return one.header.session_id == wait.first; });
  });
  look();
  int unreachable = 0;
  for (const StoredRecording& recording : waiting) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    const std::string& id = recording.header.session_id;
    if (const auto wait = waits_.find(id); wait != waits_.end() && clock_.steady() < wait->second.until) {
      next = std::min(next, wait->second.until);
      continue;
    }
    if (unreachable >= kMaxUnreachable) {
      next = std::min(next, clock_.steady() + kFirstWait);
      break;
    }
    if (const auto moved = move(recording); moved) {
      waits_.erase(id);
      unreachable = 0;
      const std::lock_guard lock(mutex_);
      ++status_.stored;
    } else {
      Wait& wait = waits_[id];
      wait.until = clock_.steady() + back_off(++wait.failures, kFirstWait, kLongestWait, random_());
      next = std::min(next, wait.until);
      unreachable = is_unreachable(moved.error().code) ? unreachable + 1 : 0;
      {
        const std::lock_guard lock(mutex_);
        ++status_.failures;
      }
      log::error("uploading session recording", {{"session", id}, {"error", moved.error()}});
      if (callbacks_.failed) callbacks_.failed(recording, moved.error());
    }
  }
  return next;
}

Status Archive::move(const StoredRecording& recording) {
  const std::string& id = recording.header.session_id;
  const auto file = storage_.path_of(id);
  MEZ_TRY(const std::string sha256, hash_of_file(file));
  if (sha256 != recording.sha256) {
    return fail(
        ErrorCode::kCorrupt,
        "the copy on the hub's disk is not what the node sent (sha256 {} in place of {}); it is not stored, and "
        "{} is kept for you to look at",
        sha256, recording.sha256, file.native());
  }
  auto progress = file;
  progress.replace_extension(".upload");
  MEZ_CHECK(store_.store(id, file, progress, {.sha256 = sha256, .ended_at = recording.ended_at}));
  MEZ_CHECK(storage_.mark_archived(id));
  if (callbacks_.stored) callbacks_.stored(recording);
  return {};
}

void Archive::look() {
  Status now;
  SystemTime oldest = SystemTime::max();
  for (const StoredRecording& recording : storage_.unarchived()) {
    ++now.waiting;
    now.waiting_bytes += recording.size_bytes;
    oldest = std::min(oldest, recording.header.started_at);
  }
  if (now.waiting > 0) {
    now.oldest_age = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - oldest),
                              std::chrono::milliseconds(0));
  }
  const std::lock_guard lock(mutex_);
  now.stored = status_.stored;
  now.failures = status_.failures;
  status_ = now;
}

}  // namespace mezite::recording
