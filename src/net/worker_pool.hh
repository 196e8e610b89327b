// Threads for what blocks: SQLite, Argon2, name resolution, disk, PAM. Bounded queue; results are posted back to a
// shard.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "net/shard.hh"

namespace mezite::net {

class WorkerPool {
 public:
  explicit WorkerPool(std::size_t threads, std::size_t queue_limit = 1024);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();  // stop()

  // Any thread. False when the queue is full or the pool is stopped: the task is then destroyed unrun, and the caller
  // says "busy" to its peer. Tasks must not throw.
  [[nodiscard]] bool submit(Task task);

  // Runs work() on a worker, then then(result) (then() for void) on the shard, which must outlive the pool. False as
  // above.
  template <class Work, class Then>
  [[nodiscard]] bool submit(Shard& shard, Work work, Then then) {
    return submit([&shard, work = std::move(work), then = std::move(then)]() mutable {
      if constexpr (std::is_void_v<std::invoke_result_t<Work&>>) {
        work();
        shard.post(std::move(then));
      } else {
        shard.post([then = std::move(then), result = work()]() mutable { then(std::move(result)); });
      }
    });
  }

  std::size_t queued() const;
  // Takes no more, runs what is queued, joins. Twice is fine.
  void stop();

 private:
  void work();

  const std::size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mezite::net
