#include "recording/recorder.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.hh"
#include "base/unique_fd.hh"
#include "recording/event_buffer.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kCongestedBytes = 2 << 20;
constexpr std::size_t kWakeBytes = 1 << 20;  // enough for a big write: don't wait for the tick
constexpr std::size_t kSpareSegments = 32;
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::nanoseconds kSlowPerByte{7};  // 150 MB/s
constexpr int kSlowInARow = 8;
constexpr std::chrono::seconds kSlowPause{5};
constexpr std::chrono::seconds kSyncInterval{1};
constexpr std::chrono::seconds kLimitInterval{2};

// Shared by the sessions and the thread.
struct Wake {
  std::mutex mutex;
  std::condition_variable condition;
  bool asked = false;

  void ask() {
    {
      const std::lock_guard lock(mutex);
      if (std::exchange(asked, true)) return;
    }
    condition.notify_one();
  }
};

// How long this thread stood in line for a core so far; zero where the kernel does not count.
std::chrono::nanoseconds stood_in_line() {
  thread_local const UniqueFd file(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  std::array<char, 96> text;
  const ssize_t got = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  const std::string_view line(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t second = line.find(' ');  // nanoseconds on a core, in line for one, number of times
  std::int64_t nanoseconds = 0;
  if (second != line.npos) std::from_chars(line.data() + second + 1, line.data() + line.size(), nanoseconds);
  return std::chrono::nanoseconds(nanoseconds);
}

// Memory of segments that were written, for those to come: sessions that move much data would else ask the allocator,
// and the kernel, for every one.
class SegmentMemory {
 public:
  SegmentBytes take() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) add_slab();
    if (spare_.empty()) return {};
    SegmentBytes memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }
  void give_back(SegmentBytes memory) {
    if (!memory.is_whole() || memory.is_shared()) return;
    const std::lock_guard lock(mutex_);
    if (spare_.size() < kSpareSegments) spare_.push_back(std::move(memory));
  }
  void release() {
    std::vector<SegmentBytes> gone;
    const std::lock_guard lock(mutex_);
    gone.swap(spare_);
  }

 private:
  // A huge page where there are such: a write of many small ones is cut into more requests to the disk.
  void add_slab() {
    const std::shared_ptr<std::uint8_t> slab(static_cast<std::uint8_t*>(std::aligned_alloc(kSlabBytes, kSlabBytes)),
                                             std::free);
    if (!slab) return;
    ::madvise(slab.get(), kSlabBytes, MADV_HUGEPAGE);
    for (std::size_t at = 0; at < kSlabBytes; at += kSegmentMemoryBytes) {
      // Each counts its own users.
      spare_.emplace_back(std::shared_ptr<std::uint8_t>(slab.get() + at, [slab](std::uint8_t*) {}));
    }
  }

  static constexpr std::size_t kSlabBytes = 2 << 20;
  std::mutex mutex_;
  std::vector<SegmentBytes> spare_;
};

}  // namespace

struct Session::State {
  State(std::string session_id, Writer session_writer, Callbacks session_callbacks, const Clock& session_clock,
        SteadyTime began, std::shared_ptr<Wake> session_wake, std::shared_ptr<SegmentMemory> segment_memory)
      : id(std::move(session_id)),
        clock(session_clock),
        wake(std::move(session_wake)),
        memory(std::move(segment_memory)),
        events(began),
        synced_at(began),
        writer(std::move(session_writer)),
        callbacks(std::move(session_callbacks)) {}

  const std::string id;
  const Clock& clock;
  const std::shared_ptr<Wake> wake;
  const std::shared_ptr<SegmentMemory> memory;

  enum class Ending : std::uint8_t { kNone, kFinish, kDiscard };
  std::mutex mutex;
  EventBuffer events;          // the segment being filled
  std::vector<Segment> ready;  // full ones; swapped out by the thread
  std::size_t ready_bytes = 0;
  Ending ending = Ending::kNone;  // else nothing may be written any more
  std::atomic<std::size_t> waiting_bytes = 0;
  std::atomic<bool> was_congested = false;
  std::atomic<bool> failed = false;

  // The thread's own.
  SteadyTime synced_at;
  SteadyTime cache_until{};  // the disk was slow
  int slow_writes = 0;
  Writer writer;
  Callbacks callbacks;
  std::vector<Segment> taken;
  bool syncing = false;
  std::uint64_t asked_bytes = 0;  // of the sync that runs
  static constexpr int kSyncRuns = -1;
  std::atomic<int> sync_result = kSyncRuns;  // else 0 or an errno; set by the syncing thread
  bool done = false;

  // What the syncing thread has done since it was asked.
  void note_sync() {
    const int result = sync_result.exchange(kSyncRuns);
    if (!syncing || result == kSyncRuns) {
      if (result != kSyncRuns) sync_result = result;
      return;
    }
    syncing = false;
    if (result != 0) {
      // What the kernel could not write it may have dropped: never take a later success for it.
      const Error error = fail_errno(result, "syncing the recording").error();
      writer.note_sync_error(error);
      return fail_with(error);
    }
    writer.note_synced(asked_bytes);
    if (callbacks.synced) callbacks.synced(asked_bytes);
  }

  // Puts events by `put`, which gives whether there is more to put when the segment that is being filled has no room.
  template <class Put>
  void add(Put put) {
    bool enough = false;
    {
      const std::lock_guard lock(mutex);
      if (ending != Ending::kNone || failed.load(std::memory_order_relaxed)) return;
      const SteadyTime now = clock.steady();
      for (bool more = true; more;) {
        const std::size_t before = events.size_bytes();
        more = put(events, now);
        waiting_bytes.fetch_add(events.size_bytes() - before);
        if (!events.full()) continue;
        enough |= close_segment(more);
      }
    }
    if (enough) wake->ask();  // keystrokes wait for the tick
  }

  // Gives whether the thread is to be woken for what is ready now.
  bool close_segment(bool more) {
    const std::size_t before = ready_bytes;
    ready_bytes += events.size_bytes();
    // Of a session that fills one, more is to be expected.
    ready.push_back(events.take(more || events.has_whole_memory() ? memory->take() : SegmentBytes()));
    return before < kWakeBytes && ready_bytes >= kWakeBytes;
  }

  LentMemory lend(std::size_t most) {
    bool enough = false;
    LentMemory lent;
    {
      const std::lock_guard lock(mutex);
      if (ending != Ending::kNone || failed.load(std::memory_order_relaxed) || !events.has_whole_memory()) return {};
      if (!events.has_room_to_lend()) enough = close_segment(true);
      lent = events.lend(most);
    }
    if (enough) wake->ask();
    return lent;
  }

  // A failed session finishes, too: its file is released.
  void end(Ending how, const SessionEnd& end) {
    {
      const std::lock_guard lock(mutex);
      if (ending != Ending::kNone) return;
      ending = how;
      const std::size_t before = events.size_bytes();
      events.put_end(end, clock.steady());
      waiting_bytes.fetch_add(events.size_bytes() - before);
    }
    wake->ask();
  }

  void fail_with(const Error& error) {
    if (failed.exchange(true)) return;
    log::error("session recording failed", {{"session_id", id}, {"error", error}});
    if (callbacks.failed) callbacks.failed(error);
  }

  // Takes what is to be written by now; gives whether the session has ended.
  Ending take(SteadyTime now) {
    const std::lock_guard lock(mutex);
    std::swap(taken, ready);
    ready_bytes = 0;
    if (!events.empty() && (ending != Ending::kNone || now >= events.due())) taken.push_back(events.take());
    if (taken.empty() && events.empty() && events.has_whole_memory()) {  // nothing comes any more
      memory->give_back(events.take().raw);
    }
    return ending;
  }

  // A disk that is slow, or has much else to do, needs the cache, or the session would have to wait for it.
  Status append_taken(SteadyTime now) {
    std::size_t bytes = 0;
    for (const Segment& segment : taken) bytes += segment.raw.size();
    const bool pass = bytes >= kWakeBytes / 2 && now >= cache_until;
    if (!pass) return writer.append(taken);
    const auto stood_before = stood_in_line();
    const SteadyTime before = clock.steady();
    auto status = writer.append(taken, Writer::Flow::kBulk);
    const auto took = clock.steady() - before - (stood_in_line() - stood_before);
    slow_writes = took > kSlowPerByte * static_cast<std::int64_t>(bytes) ? slow_writes + 1 : 0;
    if (slow_writes == kSlowInARow) {
      slow_writes = 0;
      cache_until = clock.steady() + kSlowPause;
    }
    return status;
  }

  Status write_taken(Ending how, SteadyTime now, Spool& spool) {
    if (how == Ending::kDiscard) return spool.discard(id);
    Status status;
    if (!failed) status = append_taken(now);
    if (how == Ending::kNone) return status;
    if (status && !failed) status = writer.finish();
    // Also after a failure: what was written is whole segments, worth uploading.
    if (auto released = spool.release(id); !released && status) status = released;
    return status;
  }

  // Gives whether there was much to write.
  bool drain(Spool& spool, SteadyTime now) {
    const Ending how = take(now);
    if (auto status = write_taken(how, now, spool); !status) fail_with(status.error());
    std::size_t bytes = 0;
    for (Segment& segment : taken) {
      bytes += segment.raw.size();
      memory->give_back(std::move(segment.raw));
    }
    taken.clear();
    waiting_bytes.fetch_sub(bytes);
    if (waiting_bytes.load() < kCongestedBytes / 2 && was_congested.exchange(false) && callbacks.drained) {
      callbacks.drained();
    }
    done = how != Ending::kNone;
    if (how == Ending::kFinish && callbacks.finished) callbacks.finished();
    return bytes >= kSegmentBytes;
  }
};

Session::Session(std::shared_ptr<State> state) : state_(std::move(state)) {}

Session::~Session() { finish({}); }

void Session::write(EventKind kind, BytesView data) {
  state_->add([&](EventBuffer& events, SteadyTime now) {
    data = events.put(kind, data, now);
    return !data.empty();
  });
}

LentMemory Session::lend(std::size_t most) { return state_->lend(most); }

void Session::resize(std::uint16_t columns, std::uint16_t rows) {
  state_->add([&](EventBuffer& events, SteadyTime now) {
    events.put_resize(columns, rows, now);
    return false;
  });
}

void Session::finish(const SessionEnd& end) { state_->end(State::Ending::kFinish, end); }
void Session::discard() { state_->end(State::Ending::kDiscard, {}); }

bool Session::congested() const {
  if (state_->waiting_bytes.load(std::memory_order_relaxed) <= kCongestedBytes) return false;
  state_->was_congested.store(true);
  // The thread may have drained between the two lines, and then calls nobody: look again.
  if (state_->waiting_bytes.load() <= kCongestedBytes / 2) return false;
  state_->wake->ask();  // whatever is too little to wake it for must not wait for the tick now
  return true;
}

bool Session::failed() const { return state_->failed.load(); }

namespace {

// Syncs files on a thread of its own: a disk that takes its time must not hold up what is being written.
class Syncer {
 public:
  Syncer() : thread_([this] { run(); }) {}
  ~Syncer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    condition_.notify_one();
    thread_.join();
  }
  // One sync of a session at a time.
  template <class State>
  void ask(const std::shared_ptr<State>& session) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back([session] {
        session->sync_result = ::fdatasync(session->writer.fd()) == 0 ? 0 : errno;
        session->wake->ask();
      });
    }
    condition_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      condition_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      const auto next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

struct Recorder::State {
  State(Spool& recorder_spool, const Clock& recorder_clock)
      : spool(recorder_spool),
        clock(recorder_clock),
        wake(std::make_shared<Wake>()),
        memory(std::make_shared<SegmentMemory>()) {}

  Spool& spool;
  const Clock& clock;
  std::shared_ptr<Wake> wake;
  std::shared_ptr<SegmentMemory> memory;
  std::mutex mutex;
  std::vector<std::shared_ptr<Session::State>> sessions;  // guarded by mutex
  bool stopping = false;                                  // guarded by wake->mutex
  SteadyTime limit_checked{};
  Syncer syncer;
  std::thread thread;

  std::vector<std::shared_ptr<Session::State>> snapshot() {
    const std::lock_guard lock(mutex);
    return sessions;
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "recorder");
    for (;;) {
      const bool idle = snapshot().empty();
      bool stop = false;
      {
        std::unique_lock lock(wake->mutex);
        const auto woken = [&] { return wake->asked || stopping; };
        if (idle) {
          wake->condition.wait(lock, woken);
        } else {
          wake->condition.wait_for(lock, kTick, woken);
        }
        wake->asked = false;
        stop = stopping;
      }
      pass(stop);
      if (stop) return;
    }
  }

  void pass(bool stopping_now) {
    const auto all = snapshot();
    if (stopping_now) {
      for (const auto& session : all) Session(session).finish({});
    }
    bool busy = false;
    for (const auto& session : all) busy |= session->drain(spool, clock.steady());
    if (!busy) memory->release();
    const SteadyTime began = clock.steady();
    check_limit(all, began);
    for (const auto& session : all) {
      session->note_sync();
      if (session->done || session->failed || session->syncing || began - session->synced_at < kSyncInterval) continue;
      if (!session->writer.needs_sync()) continue;
      session->synced_at = began;
      session->syncing = true;
      session->asked_bytes = session->writer.size_bytes();
      syncer.ask(session);
    }
    const std::lock_guard lock(mutex);
    std::erase_if(sessions, [](const auto& session) { return session->done; });
  }

  // The spool's bound holds for sessions that run, too: one of them could fill the disk.
  void check_limit(const std::vector<std::shared_ptr<Session::State>>& all, SteadyTime now) {
    if (all.empty() || now - limit_checked < kLimitInterval) return;
    limit_checked = now;
    if (spool.size_bytes() <= spool.limit_bytes()) return;
    const Error error{ErrorCode::kResourceExhausted,
                      "the recording spool is full; check that the hub is reachable, so that it is uploaded"};
    for (const auto& session : all) {
      if (!session->done) session->fail_with(error);
    }
  }
};

Recorder::Recorder(Spool& spool, const Clock& clock) : state_(std::make_shared<State>(spool, clock)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

Recorder::~Recorder() {
  {
    const std::lock_guard lock(state_->wake->mutex);
    state_->stopping = true;
  }
  state_->wake->condition.notify_one();
  state_->thread.join();
}

const Spool& Recorder::spool() const { return state_->spool; }

const Header& Session::header() const { return state_->writer.header(); }

Result<std::unique_ptr<Session>> Recorder::open(const Header& header, Session::Callbacks callbacks,
                                                std::span<const Recipient> recipients) {
  const SteadyTime began = state_->clock.steady();
  MEZ_TRY(Writer writer, state_->spool.create(header, began, recipients));
  auto session = std::make_shared<Session::State>(header.session_id, std::move(writer), std::move(callbacks),
                                                  state_->clock, began, state_->wake, state_->memory);
  {
    const std::lock_guard lock(state_->mutex);
    state_->sessions.push_back(session);
  }
  state_->wake->ask();
  return std::unique_ptr<Session>(new Session(std::move(session)));
}

}  // namespace mezite::recording
