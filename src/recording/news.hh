// For the tests of this folder: waiting for what other threads do.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace mezite::recording {

class News {
 public:
  // Something may have changed.
  void tell() {
    const std::lock_guard lock(mutex_);
    ++told_;
    changed_.notify_all();
  }
  // Asks at once and after each tell(); false after half a minute.
  template <class Condition>
  bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::unique_lock lock(mutex_);
    for (;;) {
      const int seen = told_;
      lock.unlock();
      if (condition()) return true;
      lock.lock();
      if (!changed_.wait_until(lock, limit, [&] { return told_ != seen; })) return false;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int told_ = 0;
};

}  // namespace mezite::recording
