#include "audit/sink/shipper.hh"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "base/back_off.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "store/database.hh"

namespace mezite::audit {

namespace {

constexpr std::size_t kMaxBatch = 500;
constexpr std::size_t kMaxBatchBytes = 1 << 20;
constexpr std::chrono::milliseconds kFirstDelay{1000}, kLongestDelay{300'000};
// At most one event about a sink that fails, and comes and goes, in this time.
constexpr std::chrono::minutes kTellInterval{10};
constexpr std::chrono::seconds kLookInterval{30};
// What is under way when the hub stops may end by itself for so long: cut off, it would come again.
constexpr std::chrono::seconds kLastDelivery{2};

}  // namespace

std::string sink_json(const StoredEvent& event) {
  std::string json = event.json;
  if (!json.ends_with('}')) return json;
  json.pop_back();
  return json + ",\"sequence\":" + std::to_string(event.sequence) + "}";
}

std::chrono::milliseconds sink_delay(std::int64_t failures, std::uint64_t random) {
  return back_off(failures, kFirstDelay, kLongestDelay, random);
}

struct Shipper::State {
  State(AuditLog& l, store::Database& d, std::unique_ptr<Sink> s, const Clock& c)
      : log(l), database(d), sink(std::move(s)), clock(c) {}

  void run();
  Result<std::vector<StoredEvent>> next_batch() const;
  Status store_cursor(std::int64_t sequence);
  void note_delivery(const StoredEvent& last, std::size_t events);
  void note_failure(const Error& error);
  void tell(EventKind kind, std::string_view error);
  void pause(std::chrono::milliseconds time);

  AuditLog& log;
  store::Database& database;
  const std::unique_ptr<Sink> sink;
  const Clock& clock;
  StopFlag ending{false};  // no further delivery
  StopFlag stop{false};    // not even the one under way
  bool ended = false;

  mutable std::mutex mutex;
  std::condition_variable stopped;
  mutable std::condition_variable delivered;
  SinkStatus known;  // lag and last_sequence are made when asked for

  // Of the thread alone.
  std::int64_t cursor = 0;
  std::size_t batch_size = kMaxBatch;
  std::optional<SteadyTime> told_at;
  bool told = false;
  std::mt19937_64 random{std::random_device{}()};
  std::thread thread;
};

Result<std::unique_ptr<Shipper>> Shipper::start(AuditLog& log, store::Database& database, std::unique_ptr<Sink> sink,
                                                const Clock& clock) {
  auto state = std::make_unique<State>(log, database, std::move(sink), clock);
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(state->cursor,
            reader.query_integer("SELECT sequence FROM audit_sinks WHERE name = ?1", {state->sink->name()}));
  }
  state->known.name = state->sink->name();
  state->known.target = state->sink->target();
  state->known.delivered_sequence = state->cursor;
  log::info("audit events are sent",
            {{"sink", state->known.name}, {"target", state->known.target}, {"after", state->cursor}});
  state->thread = std::thread([s = state.get()] {
    s->run();
    std::lock_guard lock(s->mutex);
    s->ended = true;
    s->stopped.notify_all();
  });
  return std::unique_ptr<Shipper>(new Shipper(std::move(state)));
}

Shipper::Shipper(std::unique_ptr<State> state) : state_(std::move(state)) {}

Shipper::~Shipper() {
  {
    std::unique_lock lock(state_->mutex);
    state_->ending = true;
    state_->stopped.notify_all();
    SteadyTime limit = system_clock().steady() + kLastDelivery;
    while (!state_->ended) {
      state_->log.wake();  // again and again: the thread may just be about to wait
      state_->stopped.wait_for(lock, std::chrono::milliseconds(20), [this] { return state_->ended; });
      if (system_clock().steady() > limit) state_->stop = true;
    }
  }
  state_->thread.join();
}

SinkStatus Shipper::status() const {
  SinkStatus status;
  {
    std::lock_guard lock(state_->mutex);
    status = state_->known;
  }
  status.last_sequence = std::max(state_->log.last_sequence(), status.delivered_sequence);
  if (status.delivered_sequence < status.last_sequence) {
    auto waiting = state_->log.list({.limit = 1, .after_sequence = status.delivered_sequence});
    if (waiting && !waiting->empty()) {
      auto age = state_->clock.now() - from_unix_millis(waiting->front().timestamp_ms);
      status.lag = std::max(std::chrono::milliseconds(1), std::chrono::duration_cast<std::chrono::milliseconds>(age));
    }
  }
  return status;
}

bool Shipper::await_delivered(std::int64_t sequence, std::chrono::milliseconds limit) const {
  std::unique_lock lock(state_->mutex);
  return state_->delivered.wait_for(lock, limit, [&] { return state_->known.delivered_sequence >= sequence; });
}

Result<std::vector<StoredEvent>> Shipper::State::next_batch() const {
  MEZ_TRY(auto events, log.list({.limit = batch_size, .after_sequence = cursor}));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    bytes += events[i].json.size();
    if (i > 0 && bytes > kMaxBatchBytes) {
      events.resize(i);
      break;
    }
  }
  return events;
}

Status Shipper::State::store_cursor(std::int64_t sequence) {
  MEZ_TRY(auto transaction, database.begin());
  MEZ_CHECK(transaction.execute(
      "INSERT INTO audit_sinks (name, sequence) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sequence = ?2",
      {sink->name(), sequence}));
  return transaction.commit();
}

void Shipper::State::tell(EventKind kind, std::string_view error) {
  Event event = make_event(kind, clock);
  event.resource_type = "audit_sink";
  event.resource_name = sink->name();
  event.error_message = std::string(error);
  event.details = Details().add("delivered", cursor).add("last_sequence", log.last_sequence()).text();
  if (Status stored = log.append(event); !stored) {
    log::error("an audit event could not be stored", {{"error", stored.error()}});
  }
}

void Shipper::State::note_failure(const Error& error) {
  std::int64_t failures = 0;
  {
    std::lock_guard lock(mutex);
    failures = ++known.failures;
    known.last_error = printable(error.message.substr(0, 500));
  }
  log::warn("sending audit events to a sink", {{"sink", sink->name()}, {"failures", failures}, {"error", error}});
  SteadyTime now = clock.steady();
  if (told || (told_at && now - *told_at < kTellInterval)) return;
  told = true;
  told_at = now;
  tell(EventKind::kAuditSinkFailed, printable(error.message.substr(0, 500)));
}

void Shipper::State::note_delivery(const StoredEvent& last, std::size_t events) {
  cursor = last.sequence;
  bool had_failed = false;
  {
    std::lock_guard lock(mutex);
    had_failed = known.failures > 0;
    known.failures = 0;
    known.last_error.clear();
    known.delivered_sequence = cursor;
    known.delivered_at = clock.now();
    delivered.notify_all();
  }
  if (had_failed) {
    log::info("a sink takes audit events again",
              {{"sink", sink->name()}, {"events", static_cast<std::int64_t>(events)}, {"delivered", cursor}});
  }
  if (std::exchange(told, false)) tell(EventKind::kAuditSinkRecovered, "");
}

void Shipper::State::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, time, [this] { return ending.load(); });
}

void Shipper::State::run() {
  while (!ending) {
    std::int64_t last = log.await_beyond(cursor, kLookInterval);
    if (ending) return;
    if (last < cursor) {
      // An older database was put back: what it lacks was delivered, what is written from now on was not.
      log::warn("the audit log is behind what a sink was given; it goes on from the end of the log",
                {{"sink", sink->name()}, {"delivered", cursor}, {"last_event", last}});
      if (auto stored = store_cursor(last)) cursor = last;
    }
    if (last <= cursor) continue;
    auto events = next_batch();
    Status done =
        events ? (events->empty() ? Status() : sink->deliver(*events, stop)) : Status(std::unexpected(events.error()));
    if (done && events->empty()) continue;
    // Delivered is what the database says: when that fails they are sent again.
    if (done) done = store_cursor(events->back().sequence);
    if (done) {
      batch_size = kMaxBatch;
      note_delivery(events->back(), events->size());
      continue;
    }
    if (ending) return;
    if (done.error().code == ErrorCode::kResourceExhausted && events && events->size() > 1) {
      batch_size = std::max<std::size_t>(1, events->size() / 2);
      continue;
    }
    note_failure(done.error());
    pause(sink_delay(known.failures, random()));
  }
}

}  // namespace mezite::audit
