// One epoll loop on one thread: file descriptors, timers, tasks posted from other threads, child processes, signals.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::net {

using Task = std::move_only_function<void()>;
enum class TimerId : std::uint64_t { kNone = 0 };

enum class Interest : std::uint8_t { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };
enum class Trigger : std::uint8_t { kLevel, kEdge };

// What epoll said of a descriptor. An error or a hang-up is reported as readable and writable too, so that the next
// read or write finds it.
struct Ready {
  bool readable = false;
  bool writable = false;
  bool hangup = false;
};
using WatchHandler = std::move_only_function<void(Ready)>;

// The first Shard makes the process ignore SIGPIPE (splice(2) has no flag for it): children must be given SIG_DFL back.
//
// Everything but post(), stop() and thread-safe observers is for the shard's own thread (or before run()). Handlers may
// add, change and remove any watch or timer, their own included. Tasks and handlers that are left when the shard is
// destroyed are destroyed unrun.
class Shard {
 public:
  explicit Shard(const Clock& clock = system_clock());
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  // Runs until stop(); what was posted before stop() has run when it returns.
  void run();
  // Any thread; also from a signal-free context of another shard.
  void stop();
  // One turn of the loop, waiting for at most max_wait: for tests and for programs with a loop of their own.
  void turn(std::chrono::milliseconds max_wait);

  // Runs the task on this shard. Any thread. In order of posting per posting thread.
  void post(Task task);
  // Runs the task after the handlers of this turn: for writing once what several handlers produced.
  void at_end_of_turn(Task task);

  TimerId after(std::chrono::nanoseconds delay, Task task);
  void cancel(TimerId& timer);  // sets it to kNone; a timer that has fired or is kNone is left alone

  // The descriptor stays the caller's, who removes the watch before closing it. One watch for a descriptor.
  Status watch(int fd, Interest interest, Trigger trigger, WatchHandler handler);
  void modify(int fd, Interest interest);
  void unwatch(int fd);

  // Calls once, with the status of waitpid(2), when the child ends; the child is reaped. Only for own children.
  Status on_child_exit(pid_t pid, std::move_only_function<void(int wait_status)> handler);

  // Blocks the signals in this thread and those made from it; call it first thing in main().
  static Status block_signals(std::initializer_list<int> signals);
  // Calls the handler for each of these (blocked) signals.
  Status on_signals(std::initializer_list<int> signals, std::function<void(int signal)> handler);

  const Clock& clock() const { return clock_; }
  SteadyTime now() const { return clock_.steady(); }

  // The shard whose loop this thread runs, or null.
  static Shard* current();

 private:
  struct Watch;

  friend class ShardPool;
  void discard();
  void take_posted();
  void run_timers();
  void run_end_of_turn();
  int wait_millis(std::chrono::milliseconds max_wait) const;

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::atomic<bool> stopping_{false};

  std::mutex mutex_;
  std::vector<Task> posted_;  // under mutex_

  std::vector<std::unique_ptr<Watch>> watches_;    // by descriptor
  std::vector<std::unique_ptr<Watch>> graveyard_;  // removed in this turn
  std::uint32_t generation_ = 0;
  std::map<std::pair<SteadyTime, std::uint64_t>, Task> timers_;
  std::unordered_map<std::uint64_t, SteadyTime> due_;
  std::uint64_t next_timer_ = 1;
  std::vector<Task> end_of_turn_;
};

// n shards on n threads.
class ShardPool {
 public:
  // 0: one for each core.
  explicit ShardPool(std::size_t shards = 0, const Clock& clock = system_clock());
  ~ShardPool();  // stops and joins

  void start();
  // Stops, joins, and destroys what was left to run: when it returns nothing of the shards refers to anything. Twice is
  // fine, and takes what was posted in between.
  void stop();
  Shard& next();  // round robin; any thread
  std::size_t size() const { return shards_.size(); }
  Shard& at(std::size_t index) { return *shards_[index]; }

 private:
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::thread> threads_;
  std::atomic<std::size_t> next_{0};
};

// Counts what is under way, for draining: each connection holds a Pass while it lives. Any thread.
class Gate {
 public:
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : count_(std::move(other.count_)) {}
    Pass& operator=(Pass&& other) noexcept {
      release();
      count_ = std::move(other.count_);
      return *this;
    }
    ~Pass() { release(); }
    void release() {
      if (count_) count_->fetch_sub(1);
      count_.reset();
    }

   private:
    friend class Gate;
    explicit Pass(std::shared_ptr<std::atomic<std::size_t>> count) : count_(std::move(count)) { count_->fetch_add(1); }
    std::shared_ptr<std::atomic<std::size_t>> count_;
  };

  Pass enter() { return Pass(count_); }
  std::size_t count() const { return count_->load(); }

 private:
  std::shared_ptr<std::atomic<std::size_t>> count_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace mezite::net
