#include "recording/recorder.hh"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/log.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kCongestedBytes = 1 << 20;
constexpr std::size_t kWakeBytes = 64 * 1024;  // enough for a segment: don't wait for the tick
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kSyncInterval{1};
constexpr std::chrono::seconds kLimitInterval{2};

// What stands before each item's bytes in a session's queue.
struct Item {
  enum class Kind : std::uint8_t { kData, kResize, kFinish, kDiscard };
  Kind kind = Kind::kData;
  EventKind event = EventKind::kOutput;
  SteadyTime at;
  std::uint32_t size = 0;
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
};

// Shared by the sessions and the thread.
struct Wake {
  std::mutex mutex;
  std::condition_variable condition;
  bool asked = false;

  void ask() {
    {
      const std::lock_guard lock(mutex);
      asked = true;
    }
    condition.notify_one();
  }
};

}  // namespace

struct Session::State {
  State(std::string session_id, Writer session_writer, Callbacks session_callbacks, const Clock& session_clock,
        std::shared_ptr<Wake> session_wake)
      : id(std::move(session_id)),
        clock(session_clock),
        wake(std::move(session_wake)),
        writer(std::move(session_writer)),
        callbacks(std::move(session_callbacks)) {}

  const std::string id;
  const Clock& clock;
  const std::shared_ptr<Wake> wake;

  std::mutex mutex;
  Bytes queue;            // items; swapped out whole by the thread
  SessionEnd end;         // of the finish item
  bool finished = false;  // nothing may be queued any more
  std::atomic<std::size_t> waiting_bytes = 0;
  std::atomic<bool> was_congested = false;
  std::atomic<bool> failed = false;

  // The thread's own.
  Writer writer;
  Callbacks callbacks;
  Bytes taken;
  SteadyTime synced_at{};
  bool syncing = false;
  std::uint64_t asked_bytes = 0;  // of the sync that runs
  static constexpr int kSyncRuns = -1;
  std::atomic<int> sync_result = kSyncRuns;  // else 0 or an errno; set by the syncing thread
  bool done = false;
  bool discarded = false;

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

  void push(const Item& item, BytesView data) {
    bool crossed = false;
    {
      const std::lock_guard lock(mutex);
      if (finished || failed.load(std::memory_order_relaxed)) return;
      const std::size_t before = queue.size();
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&item);
      queue.insert(queue.end(), bytes, bytes + sizeof(Item));
      queue.insert(queue.end(), data.begin(), data.end());
      waiting_bytes.fetch_add(queue.size() - before);
      crossed = before < kWakeBytes && queue.size() >= kWakeBytes;
    }
    if (crossed) wake->ask();  // keystrokes wait for the tick
  }

  // A failed session finishes, too: its file is released.
  void push_last(Item::Kind kind, const SessionEnd& how) {
    {
      const std::lock_guard lock(mutex);
      if (finished) return;
      end = how;
      const Item item{.kind = kind, .at = clock.steady()};
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&item);
      queue.insert(queue.end(), bytes, bytes + sizeof(Item));
      waiting_bytes.fetch_add(sizeof(Item));
      finished = true;
    }
    wake->ask();
  }

  void fail_with(const Error& error) {
    if (failed.exchange(true)) return;
    log::error("session recording failed", {{"session_id", id}, {"error", error}});
    if (callbacks.failed) callbacks.failed(error);
  }

  Status apply(const Item& item, BytesView data, Spool& spool) {
    switch (item.kind) {
      case Item::Kind::kData: return failed ? Status{} : writer.write(item.event, data, item.at);
      case Item::Kind::kResize: return failed ? Status{} : writer.resize(item.columns, item.rows, item.at);
      case Item::Kind::kDiscard: done = discarded = true; return spool.discard(id);
      case Item::Kind::kFinish: break;
    }
    done = true;
    Status status = failed ? Status{} : writer.finish(end, item.at);
    // Also after a failure: what was written is whole segments, worth uploading.
    if (auto released = spool.release(id); !released && status) status = released;
    return status;
  }

  void drain(Spool& spool) {
    {
      const std::lock_guard lock(mutex);
      taken.clear();
      std::swap(taken, queue);
    }
    std::size_t at = 0;
    while (at < taken.size()) {
      Item item;
      std::memcpy(&item, taken.data() + at, sizeof(Item));
      const BytesView data = BytesView(taken).subspan(at + sizeof(Item), item.size);
      at += sizeof(Item) + item.size;
      if (auto status = apply(item, data, spool); !status) fail_with(status.error());
    }
    if (!taken.empty()) waiting_bytes.fetch_sub(taken.size());
    if (taken.capacity() > 4 * kCongestedBytes) taken = Bytes();
    if (waiting_bytes.load() < kCongestedBytes / 2 && was_congested.exchange(false) && callbacks.drained) {
      callbacks.drained();
    }
    if (done && !discarded && callbacks.finished) callbacks.finished();
  }
};

Session::Session(std::shared_ptr<State> state) : state_(std::move(state)) {}

Session::~Session() { finish({}); }

void Session::write(EventKind kind, BytesView data) {
  const SteadyTime now = state_->clock.steady();
  while (!data.empty()) {  // in pieces whose size an Item can say
    const BytesView piece = data.first(std::min<std::size_t>(data.size(), std::size_t{1} << 20));
    data = data.subspan(piece.size());
    state_->push({.event = kind, .at = now, .size = static_cast<std::uint32_t>(piece.size())}, piece);
  }
}

void Session::resize(std::uint16_t columns, std::uint16_t rows) {
  state_->push({.kind = Item::Kind::kResize, .at = state_->clock.steady(), .columns = columns, .rows = rows}, {});
}

void Session::finish(const SessionEnd& end) { state_->push_last(Item::Kind::kFinish, end); }
void Session::discard() { state_->push_last(Item::Kind::kDiscard, {}); }

bool Session::congested() const {
  if (state_->waiting_bytes.load(std::memory_order_relaxed) <= kCongestedBytes) return false;
  state_->was_congested.store(true);
  // The thread may have drained between the two lines, and then calls nobody: look again.
  return state_->waiting_bytes.load() > kCongestedBytes / 2;
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
      : spool(recorder_spool), clock(recorder_clock), wake(std::make_shared<Wake>()) {}

  Spool& spool;
  const Clock& clock;
  std::shared_ptr<Wake> wake;
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
    for (const auto& session : all) {
      session->drain(spool);
      if (session->done || session->failed) continue;
      if (auto status = session->writer.flush_due(clock.steady()); !status) session->fail_with(status.error());
    }
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

Result<std::unique_ptr<Session>> Recorder::open(const Header& header, Session::Callbacks callbacks,
                                                std::span<const Recipient> recipients) {
  MEZ_TRY(Writer writer, state_->spool.create(header, state_->clock.steady(), recipients));
  auto session = std::make_shared<Session::State>(header.session_id, std::move(writer), std::move(callbacks),
                                                  state_->clock, state_->wake);
  session->synced_at = state_->clock.steady();
  {
    const std::lock_guard lock(state_->mutex);
    state_->sessions.push_back(session);
  }
  state_->wake->ask();
  return std::unique_ptr<Session>(new Session(std::move(session)));
}

}  // namespace mezite::recording
