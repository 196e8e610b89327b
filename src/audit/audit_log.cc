#include "audit/audit_log.hh"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "audit/checkpoint.hh"
#include "audit/search.hh"
#include "audit/signed_checkpoint.hh"
#include "audit/verify.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::audit {

namespace {

// Events that one transaction takes at most, so that the first in a long queue does not wait for the last.
constexpr std::size_t kMaxGroupEvents = 1024;

constexpr std::int64_t kCheckpointEvents = 10'000;
constexpr std::chrono::hours kCheckpointInterval{1};

struct Batch {
  std::vector<CanonicalEvent> events;
  bool wants_checkpoint = false;
  std::promise<Result<std::size_t>> done;
};

}  // namespace

struct AuditLog::State {
  State(store::Database& db, Options options, const Clock& c, CheckpointFile file_)
      : database(db),
        clock(c),
        cluster_name(std::move(options.cluster_name)),
        max_queued_events(options.max_queued_events),
        keys(std::move(options.hmac_key), std::move(options.previous_hmac_keys)),
        file(std::move(file_)) {}

  Status find_end();
  std::optional<std::string> find_rollback() const;
  CanonicalEvent prepare(Event event) const;
  Result<std::size_t> enqueue(Batch batch);
  void write_queue();
  void write_group(std::span<Batch> group);
  Result<std::vector<std::size_t>> write_transaction(std::span<Batch> group, Checkpoint& end, bool& made_checkpoint);
  Result<bool> insert(store::Session& transaction, const CanonicalEvent& canonical, Checkpoint& end);
  Status find_last_checkpoint();
  bool checkpoint_due(const Checkpoint& end) const;

  store::Database& database;
  const Clock& clock;
  const std::string cluster_name;
  const std::size_t max_queued_events;
  const ChainKeys keys;
  CheckpointFile file;

  mutable std::mutex mutex;
  mutable std::condition_variable work, space, appended;
  std::deque<Batch> queue;
  std::size_t queued_events = 0;
  bool stopping = false;
  Checkpoint written;  // the end of the chain: committed
  // The last signed checkpoint; of the writer's thread alone.
  std::int64_t checkpoint_sequence = 0;
  SystemTime checkpoint_time;

  std::thread writer;
};

// Where the chain goes on. What was tampered with stays visible: the chain follows on the sealed checkpoint, whatever
// rows there are.
Status AuditLog::State::find_end() {
  MEZ_TRY(auto reader, database.snapshot());
  MEZ_TRY(auto head, load_checkpoint(reader));
  MEZ_TRY(auto rows, reader.query("SELECT sequence, hmac FROM audit_events ORDER BY sequence DESC LIMIT 1"));
  MEZ_TRY(bool any, rows.next());
  std::int64_t last = any ? rows.integer(0) : 0;
  if (head && head->is_sealed(keys)) {
    written = make_checkpoint(keys, std::max(head->sequence, last), head->hmac);
    if (head->sequence != last) {
      log::error("the audit log does not end where it should: run mezctl audit verify",
                 {{"last_event", last}, {"written", head->sequence}});
    }
    return {};
  }
  ChainHash hmac{};
  if (any) {
    Bytes stored = rows.bytes(1);
    if (stored.size() == hmac.size()) std::ranges::copy(stored, hmac.begin());
    log::error(
        "the checkpoint of the audit log is missing, changed, or of a key that is not configured: run mezctl "
        "audit verify",
        {{"last_event", last}});
  }
  written = make_checkpoint(keys, last, hmac);
  return {};
}

// What the file beside the database knows that the database does not.
std::optional<std::string> AuditLog::State::find_rollback() const {
  auto known = file.read();
  if (!known || !known->is_sealed(keys)) return std::nullopt;
  if (known->sequence < written.sequence) return std::nullopt;
  if (known->sequence == written.sequence && known->hmac == written.hmac) return std::nullopt;
  return Details()
      .add("events_written", known->sequence)
      .add("events_found", written.sequence)
      .add("last_hmac_written", to_hex(known->hmac))
      .add("last_hmac_found", to_hex(written.hmac))
      .text();
}

CanonicalEvent AuditLog::State::prepare(Event event) const {
  if (event.cluster_name.empty()) event.cluster_name = cluster_name;
  return canonicalize(std::move(event));
}

Result<bool> AuditLog::State::insert(store::Session& transaction, const CanonicalEvent& canonical, Checkpoint& end) {
  const Event& event = canonical.event;
  ChainHash hmac = keys.link(keys.current_id(), end.hmac, canonical.json);
  for (int attempt = 0;; ++attempt) {
    auto inserted = transaction.execute(
        "INSERT INTO audit_events (sequence, id, event_type, timestamp, user_name, session_id, json, key_id, prev_hmac,"
        " hmac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        {end.sequence + 1, event.id, event.event_type, event.timestamp, event.user_name, event.session_id,
         canonical.json, keys.current_id(), BytesView(end.hmac), BytesView(hmac)});
    if (inserted && *inserted == 0) return false;
    if (inserted) {
      end.sequence += 1;
      end.hmac = hmac;
      MEZ_CHECK(index_words(transaction, end.sequence, event));
      return true;
    }
    // Somebody put a row where this one belongs. It must not keep the hub from writing; verify names it.
    if (inserted.error().code != ErrorCode::kAlreadyExists || attempt > 0) return std::unexpected(inserted.error());
    MEZ_TRY(end.sequence, transaction.query_integer("SELECT max(sequence) FROM audit_events"));
    log::error("the audit log holds events that this hub did not write: run mezctl audit verify", {});
  }
}

Status AuditLog::State::find_last_checkpoint() {
  checkpoint_time = clock.now();
  MEZ_TRY(auto reader, database.snapshot());
  MEZ_TRY(auto rows, reader.query("SELECT sequence, timestamp FROM audit_events WHERE event_type = 'audit.checkpoint'"
                                  " ORDER BY timestamp DESC LIMIT 1"));
  MEZ_TRY(bool any, rows.next());
  if (!any) return {};
  checkpoint_sequence = rows.integer(0);
  checkpoint_time = rows.time(1);
  return {};
}

bool AuditLog::State::checkpoint_due(const Checkpoint& end) const {
  if (end.sequence - checkpoint_sequence >= kCheckpointEvents) return true;
  // A clock that was put back starts the hour anew.
  auto age = clock.now() - checkpoint_time;
  return end.sequence > checkpoint_sequence && (age >= kCheckpointInterval || age <= -kCheckpointInterval);
}

Result<std::vector<std::size_t>> AuditLog::State::write_transaction(std::span<Batch> group, Checkpoint& end,
                                                                    bool& made_checkpoint) {
  std::vector<std::size_t> stored;
  MEZ_TRY(auto transaction, database.begin());
  for (Batch& batch : group) {
    std::size_t count = 0;
    for (const CanonicalEvent& canonical : batch.events) {
      MEZ_TRY(bool is_new, insert(transaction, canonical, end));
      if (is_new) ++count;
    }
    stored.push_back(count);
  }
  bool wanted = std::ranges::any_of(group, &Batch::wants_checkpoint);
  if ((wanted || checkpoint_due(end)) && end.sequence > 0) {
    Event event = make_event(EventKind::kAuditCheckpoint, clock);
    event.details = signed_checkpoint(keys, {.cluster_name = cluster_name,
                                             .sequence = end.sequence,
                                             .hmac = end.hmac,
                                             .time = to_rfc3339(event.timestamp),
                                             .key_id = keys.current_id()});
    MEZ_CHECK(insert(transaction, prepare(std::move(event)), end));
    made_checkpoint = true;
  }
  end = make_checkpoint(keys, end.sequence, end.hmac);
  MEZ_CHECK(store_checkpoint(transaction, end));
  MEZ_CHECK(transaction.commit());
  return stored;
}

void AuditLog::State::write_group(std::span<Batch> group) {
  Checkpoint end = written;  // only this thread changes it
  bool made_checkpoint = false;
  auto stored = write_transaction(group, end, made_checkpoint);
  if (!stored) {
    log::error("writing to the audit log", {{"error", stored.error()}});
    for (Batch& batch : group) batch.done.set_value(wrap(stored.error(), "writing to the audit log"));
    return;
  }
  {
    std::lock_guard lock(mutex);
    written = end;
  }
  appended.notify_all();
  if (made_checkpoint) {
    checkpoint_sequence = end.sequence;
    checkpoint_time = clock.now();
  }
  if (auto copied = file.write(end); !copied) log::warn("audit.head", {{"error", copied.error()}});
  for (std::size_t i = 0; i < group.size(); ++i) group[i].done.set_value((*stored)[i]);
}

void AuditLog::State::write_queue() {
  std::vector<Batch> group;
  while (true) {
    {
      std::unique_lock lock(mutex);
      work.wait(lock, [&] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      std::size_t events = 0;
      while (!queue.empty() && (group.empty() || events + queue.front().events.size() <= kMaxGroupEvents)) {
        events += queue.front().events.size();
        group.push_back(std::move(queue.front()));
        queue.pop_front();
      }
      queued_events -= events;
    }
    space.notify_all();
    write_group(group);
    group.clear();
  }
}

AuditLog::AuditLog(std::unique_ptr<State> state) : state_(std::move(state)) {}

AuditLog::~AuditLog() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->work.notify_all();
  state_->space.notify_all();
  if (state_->writer.joinable()) state_->writer.join();
}

Result<std::unique_ptr<AuditLog>> AuditLog::open(store::Database& database, Options options, const Clock& clock) {
  MEZ_TRY(auto file, CheckpointFile::open(database.path().parent_path() / "audit.head"));
  auto state = std::make_unique<State>(database, std::move(options), clock, std::move(file));
  MEZ_CHECK(state->find_end());
  MEZ_CHECK(state->find_last_checkpoint());
  auto rollback = state->find_rollback();
  state->writer = std::thread([s = state.get()] { s->write_queue(); });
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(state)));
  if (rollback) {
    log::error("the database holds fewer audit events than were written: an older copy was put in its place", {});
    Event event = make_event(EventKind::kAuditRolledBack, clock);
    event.details = *rollback;
    MEZ_CHECK(log->append(event));
  }
  return log;
}

Result<std::size_t> AuditLog::State::enqueue(Batch batch) {
  if (database.is_writing()) {
    return fail(ErrorCode::kInternal, "audit events inside a transaction: they would wait for its end");
  }
  auto done = batch.done.get_future();
  {
    const std::size_t count = batch.events.size();
    std::unique_lock lock(mutex);
    space.wait(lock, [&] { return stopping || queued_events == 0 || queued_events + count <= max_queued_events; });
    if (stopping) return fail(ErrorCode::kUnavailable, "the audit log is closed");
    queued_events += count;
    queue.push_back(std::move(batch));
  }
  work.notify_one();
  return done.get();
}

Result<std::size_t> AuditLog::append(std::span<const Event> events) {
  if (events.empty()) return std::size_t{0};
  Batch batch;
  batch.events.reserve(events.size());
  for (const Event& event : events) batch.events.push_back(state_->prepare(event));
  return state_->enqueue(std::move(batch));
}

Status AuditLog::append(const Event& event) {
  MEZ_CHECK(append(std::span(&event, 1)));
  return {};
}

std::int64_t AuditLog::last_sequence() const {
  std::lock_guard lock(state_->mutex);
  return state_->written.sequence;
}

std::int64_t AuditLog::await_beyond(std::int64_t sequence, std::chrono::milliseconds limit) const {
  std::unique_lock lock(state_->mutex);
  auto beyond = [&] { return state_->written.sequence > sequence; };
  if (!beyond()) state_->appended.wait_for(lock, limit);
  return state_->written.sequence;
}

void AuditLog::wake() const {
  std::lock_guard lock(state_->mutex);
  state_->appended.notify_all();
}

Result<std::vector<StoredEvent>> AuditLog::list(const Filter& filter) const {
  return search_log(state_->database, filter);
}

Result<std::vector<std::string>> AuditLog::export_checkpoints(std::size_t limit) {
  Batch batch;
  batch.wants_checkpoint = true;
  MEZ_CHECK(state_->enqueue(std::move(batch)));
  MEZ_TRY(auto events, list({.type = "audit.checkpoint", .limit = limit}));
  std::vector<std::string> lines;
  for (const StoredEvent& event : events) {
    MEZ_TRY(Event read, event_from_json(event.json));
    lines.insert(lines.begin(), std::move(read.details));
  }
  return lines;
}

Result<VerifyReport> AuditLog::verify(const std::function<bool(std::int64_t done, std::int64_t of)>& progress,
                                      std::span<const std::string> checkpoints) const {
  Checkpoint written;
  {
    std::lock_guard lock(state_->mutex);
    written = state_->written;
  }
  MEZ_TRY(VerifyReport report, verify_chain(state_->database, state_->keys, written, progress));
  if (report.ok)
    MEZ_CHECK(compare_checkpoints(state_->database, state_->keys, state_->cluster_name, checkpoints, report));
  return report;
}

bool AuditLog::keyed() const { return state_->keys.keyed(); }
const std::string& AuditLog::key_id() const { return state_->keys.current_id(); }

}  // namespace mezite::audit
