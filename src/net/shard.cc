#include "net/shard.hh"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "base/log.hh"

namespace mezite::net {
namespace {

thread_local Shard* current_shard = nullptr;

std::uint32_t events_for(Interest interest, Trigger trigger) {
  std::uint32_t events = 0;
  auto bits = static_cast<std::uint8_t>(interest);
  if (bits & static_cast<std::uint8_t>(Interest::kRead)) events |= EPOLLIN | EPOLLRDHUP;
  if (bits & static_cast<std::uint8_t>(Interest::kWrite)) events |= EPOLLOUT;
  if (trigger == Trigger::kEdge) events |= EPOLLET;
  return events;
}

constexpr std::uint64_t kWakeData = ~std::uint64_t{0};

}  // namespace

struct Shard::Watch {
  int fd;
  std::uint32_t generation;
  Trigger trigger;
  Interest interest;
  bool parked = false;  // level-triggered without interest: taken out of epoll, which would report hang-ups for ever
  WatchHandler handler;
};

Shard::Shard(const Clock& clock) : clock_(clock), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  static const bool ignored = ::signal(SIGPIPE, SIG_IGN) != SIG_ERR;
  (void)ignored;
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeData;
  if (!epoll_ || !wake_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    // Only at the start of a process that is out of descriptors; nothing can run without a loop.
    log::error("cannot make an epoll loop: raise the limit of open files (ulimit -n)", {{"errno", errno}});
    std::abort();
  }
}

Shard::~Shard() { discard(); }

// What is destroyed here may own things that cancel timers and watches in turn, so all members are still whole.
void Shard::discard() {
  for (int round = 0; round < 64; ++round) {
    std::vector<Task> tasks = std::exchange(end_of_turn_, {});
    {
      std::lock_guard lock(mutex_);
      for (Task& task : posted_) tasks.push_back(std::move(task));
      posted_.clear();
    }
    auto timers = std::exchange(timers_, {});
    due_.clear();
    auto watches = std::exchange(watches_, {});
    std::move(graveyard_.begin(), graveyard_.end(), std::back_inserter(watches));
    graveyard_.clear();
    if (tasks.empty() && timers.empty() && watches.empty()) return;
  }
}

Shard* Shard::current() { return current_shard; }

void Shard::run() {
  Shard* outer = std::exchange(current_shard, this);
  while (!stopping_.load(std::memory_order_acquire)) turn(std::chrono::hours(1));
  take_posted();
  run_end_of_turn();
  current_shard = outer;
}

void Shard::stop() {
  stopping_.store(true, std::memory_order_release);
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void Shard::post(Task task) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    wake = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (wake) {
    std::uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);  // EAGAIN: it is awake already
  }
}

void Shard::at_end_of_turn(Task task) { end_of_turn_.push_back(std::move(task)); }

void Shard::take_posted() {
  std::vector<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void Shard::run_end_of_turn() {
  // Tasks may add more: bounded rounds, the rest waits for the next turn (wait_millis() is 0 then).
  for (int round = 0; round < 16 && !end_of_turn_.empty(); ++round) {
    std::vector<Task> tasks;
    tasks.swap(end_of_turn_);
    for (Task& task : tasks) task();
  }
}

TimerId Shard::after(std::chrono::nanoseconds delay, Task task) {
  std::uint64_t id = next_timer_++;
  SteadyTime due = now() + std::max(delay, std::chrono::nanoseconds(0));
  timers_.emplace(std::pair(due, id), std::move(task));
  due_.emplace(id, due);
  return TimerId{id};
}

void Shard::cancel(TimerId& timer) {
  if (timer == TimerId::kNone) return;  // so an object without a timer may be destroyed on any thread
  auto id = static_cast<std::uint64_t>(std::exchange(timer, TimerId::kNone));
  auto found = due_.find(id);
  if (found == due_.end()) return;
  auto node = timers_.extract({found->second, id});  // destroyed last: its destructor may call back
  due_.erase(found);
}

void Shard::run_timers() {
  if (timers_.empty()) return;
  SteadyTime now_time = now();
  std::uint64_t newest = next_timer_;  // timers made by these tasks wait for the next turn
  while (!timers_.empty()) {
    auto first = timers_.begin();
    if (first->first.first > now_time) return;
    if (first->first.second >= newest) return;
    auto node = timers_.extract(first);
    due_.erase(node.key().second);
    node.mapped()();
  }
}

int Shard::wait_millis(std::chrono::milliseconds max_wait) const {
  if (!end_of_turn_.empty()) return 0;
  auto wait = max_wait;
  if (!timers_.empty()) {
    auto until = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - now());
    wait = std::clamp(until, std::chrono::milliseconds(0), max_wait);
  }
  return static_cast<int>(std::min<std::chrono::milliseconds::rep>(wait.count(), 3'600'000));
}

void Shard::turn(std::chrono::milliseconds max_wait) {
  Shard* outer = std::exchange(current_shard, this);
  std::array<epoll_event, 256> events;
  int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_millis(max_wait));
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kWakeData) {
      std::uint64_t drained = 0;
      [[maybe_unused]] ssize_t n = ::read(wake_.get(), &drained, sizeof drained);
      continue;
    }
    auto fd = static_cast<std::size_t>(event.data.u64 & 0xffffffffu);
    auto generation = static_cast<std::uint32_t>(event.data.u64 >> 32);
    if (fd >= watches_.size() || !watches_[fd] || watches_[fd]->generation != generation) continue;  // removed just now
    std::uint32_t bits = event.events;
    bool broken = (bits & (EPOLLERR | EPOLLHUP)) != 0;
    Ready ready;
    ready.readable = broken || (bits & (EPOLLIN | EPOLLRDHUP)) != 0;
    ready.writable = broken || (bits & EPOLLOUT) != 0;
    ready.hangup = broken;
    watches_[fd]->handler(ready);
  }
  run_timers();
  take_posted();
  run_end_of_turn();
  graveyard_.clear();
  current_shard = outer;
}

Status Shard::watch(int fd, Interest interest, Trigger trigger, WatchHandler handler) {
  if (fd < 0) return fail(ErrorCode::kInvalidArgument, "no descriptor to watch");
  auto index = static_cast<std::size_t>(fd);
  if (watches_.size() <= index) watches_.resize(std::max(index + 1, watches_.size() * 2));
  if (watches_[index]) return fail(ErrorCode::kAlreadyExists, "descriptor {} is watched already", fd);
  generation_ = (generation_ + 1) & 0x7fffffffu;
  auto watch = std::make_unique<Watch>(Watch{fd, generation_, trigger, interest, false, std::move(handler)});
  if (interest == Interest::kNone && trigger == Trigger::kLevel) {
    watch->parked = true;
  } else {
    epoll_event event{};
    event.events = events_for(interest, trigger);
    event.data.u64 = (std::uint64_t{generation_} << 32) | static_cast<std::uint32_t>(fd);
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno(errno, "watching a descriptor");
  }
  watches_[index] = std::move(watch);
  return {};
}

void Shard::modify(int fd, Interest interest) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= watches_.size() || !watches_[index]) return;
  Watch& watch = *watches_[index];
  if (watch.interest == interest && watch.trigger == Trigger::kLevel) return;
  watch.interest = interest;
  epoll_event event{};
  event.events = events_for(interest, watch.trigger);
  event.data.u64 = (std::uint64_t{watch.generation} << 32) | static_cast<std::uint32_t>(fd);
  if (interest == Interest::kNone && watch.trigger == Trigger::kLevel) {
    if (!watch.parked) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event);
    watch.parked = true;
    return;
  }
  ::epoll_ctl(epoll_.get(), watch.parked ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  watch.parked = false;
}

void Shard::unwatch(int fd) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= watches_.size() || !watches_[index]) return;
  if (!watches_[index]->parked) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  graveyard_.push_back(std::move(watches_[index]));  // its handler may be running
}

Status Shard::on_child_exit(pid_t pid, std::move_only_function<void(int wait_status)> handler) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // glibc 2.36 declares its wrapper for C only
  if (!pidfd) return fail_errno(errno, "watching a child process");
  int fd = pidfd.get();
  return watch(fd, Interest::kRead, Trigger::kLevel,
               [this, pid, pidfd = std::move(pidfd), handler = std::move(handler)](Ready) mutable {
                 int status = 0;
                 pid_t reaped = ::waitpid(pid, &status, WNOHANG);
                 if (reaped == 0) return;
                 unwatch(pidfd.get());
                 handler(reaped == pid ? status : 0);
               });
}

Status Shard::block_signals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  if (int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) return fail_errno(error, "blocking signals");
  return {};
}

Status Shard::on_signals(std::initializer_list<int> signals, std::function<void(int signal)> handler) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  UniqueFd signalfd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signalfd) return fail_errno(errno, "watching signals");
  int fd = signalfd.get();
  return watch(fd, Interest::kRead, Trigger::kLevel,
               [signalfd = std::move(signalfd), handler = std::move(handler)](Ready) {
                 signalfd_siginfo info{};
                 while (::read(signalfd.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
                   handler(static_cast<int>(info.ssi_signo));
                 }
               });
}

ShardPool::ShardPool(std::size_t shards, const Clock& clock) {
  if (shards == 0) shards = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  for (std::size_t i = 0; i < shards; ++i) shards_.push_back(std::make_unique<Shard>(clock));
}

ShardPool::~ShardPool() { stop(); }

void ShardPool::start() {
  if (!threads_.empty()) return;
  for (auto& shard : shards_) threads_.emplace_back([loop = shard.get()] { loop->run(); });
}

void ShardPool::stop() {
  for (auto& shard : shards_) shard->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  for (auto& shard : shards_) shard->discard();  // a task of one shard may speak of another
}

Shard& ShardPool::next() { return *shards_[next_.fetch_add(1, std::memory_order_relaxed) % shards_.size()]; }

}  // namespace mezite::net
