// How far a channel's receive window may grow, and the memory that all windows together may promise.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.hh"

namespace mezite::ssh {

// What windows have grown by, of every connection that shares it. Thread-safe.
class WindowBudget {
 public:
  explicit WindowBudget(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  WindowBudget(const WindowBudget&) = delete;
  WindowBudget& operator=(const WindowBudget&) = delete;

  // As much of bytes as is left; give_back() takes the same amount.
  std::size_t take(std::size_t bytes);
  void give_back(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::size_t used() const { return used_.load(std::memory_order_relaxed); }

  // Shared by all connections that are told of no other: 512 MiB.
  static WindowBudget& of_process();

 private:
  const std::size_t limit_bytes_;
  std::atomic<std::size_t> used_{0};
};

// Follows how much comes in one round trip, as Linux sizes TCP's receive buffers: the window should be twice that, so
// that a sender which the window stops gets more, and one which the path or the reader stops does not.
//
// The round trip is measured without asking: what a grant allows cannot come sooner than a round trip after it. A
// sender that is not stopped by the window makes the measure too long, never too short; the shortest one counts.
class WindowMeter {
 public:
  // A grant is about to be sent. received: bytes of the channel so far; limit: how far the peer may go without the
  // grant. Returns the window that the speed of the peer asks for; 0: nothing new is known.
  std::uint64_t on_grant(SteadyTime now, std::uint64_t received, std::uint64_t limit);
  // Since the last interval in which anything was measured.
  std::chrono::nanoseconds last_interval() const { return last_interval_; }

 private:
  bool started_ = false;
  std::uint64_t mark_ = 0;  // the first byte past it was allowed at mark_time_
  SteadyTime mark_time_{};
  std::chrono::nanoseconds round_trip_ = std::chrono::nanoseconds::max();
  std::uint64_t counted_from_ = 0;
  SteadyTime counting_since_{};
  std::chrono::nanoseconds last_interval_{0};
};

}  // namespace mezite::ssh
