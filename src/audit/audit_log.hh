// The audit log: append durably, list, verify.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "audit/chain.hh"
#include "audit/event.hh"
#include "store/database.hh"

namespace mezite::audit {

struct Filter {
  std::string type;                        // exact, or "session.*"; empty: all
  std::optional<SystemTime> since, until;  // since <= timestamp < until
  std::string user;
  std::string session_id;
  std::string text;         // words that must all be there, in any case: "web-01 denied"; "den*" is a beginning
  std::size_t limit = 100;  // at most kMaxListLimit
  // Set: events after this sequence, in the order they were written (to follow the log, start with last_sequence()).
  // Unset: the newest, newest first; of the same millisecond the one that was written last comes first.
  std::optional<std::int64_t> after_sequence;
  // The next page: what comes behind this event of the page before. Not with after_sequence.
  struct Position {
    std::int64_t timestamp_ms = 0;
    std::int64_t sequence = 0;
  };
  std::optional<Position> before;
};
inline constexpr std::size_t kMaxListLimit = 1000;

struct StoredEvent {
  std::int64_t sequence = 0;  // from 1, without a gap
  std::int64_t timestamp_ms = 0;
  std::string json;  // canonical, with hmac, hmac_key_id and prev_hmac added
};

struct VerifyReport {
  bool ok = true;
  bool keyed = false;                   // there is a key: the chain shows intent too
  std::int64_t verified = 0;            // events that are good, from the first on
  std::int64_t unkeyed = 0;             // of these, those that were written while no key was set
  std::int64_t first_bad_sequence = 0;  // 0 when ok
  std::string first_bad_id;             // "" when the bad one is not there
  std::string problem;                  // one sentence
  // "deleted", "inserted", "edited", "duplicated", "swapped", "moved", "truncated", "rolled back", "forged", "unknown
  // key"; "" when ok.
  std::string damage;
  std::size_t checkpoints = 0;  // exported ones that agree with the log
};

class AuditLog {
 public:
  struct Options {
    std::string cluster_name;
    Secret hmac_key;  // empty: keyed() is false, and the caller warns
    std::vector<Secret> previous_hmac_keys;
    std::size_t max_queued_events = 4096;  // append() waits when there are more
  };

  // Continues the chain that is there. `database` outlives the log. Keeps a copy of the chain's end beside the database
  // (audit.head): when the database is found to be behind it (an older copy put in its place), an event
  // audit.rolled_back is the first one written.
  static Result<std::unique_ptr<AuditLog>> open(store::Database& database, Options options,
                                                const Clock& clock = system_clock());
  ~AuditLog();  // writes what is queued
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Durable when it returns; all of them or none. Calls that come at the same time share one transaction. An event
  // whose id is stored already counts as done and is not stored again. Gives how many are new. Blocks: use a worker,
  // and never call it inside a Transaction.
  Result<std::size_t> append(std::span<const Event> events);
  Status append(const Event& event);

  Result<std::vector<StoredEvent>> list(const Filter& filter) const;
  std::int64_t last_sequence() const;  // 0 when empty
  // Waits until there are events behind this one, or the time is over, or wake(). Gives the last one.
  std::int64_t await_beyond(std::int64_t sequence, std::chrono::milliseconds limit) const;
  void wake() const;

  // Writes an audit.checkpoint event and gives the newest `limit` there are, oldest first: one JSON object each, for
  // keeping off the machine.
  Result<std::vector<std::string>> export_checkpoints(std::size_t limit = kMaxListLimit);

  // Reads the log in pages, in constant memory. progress: how many so far and of how many; return false to stop.
  // checkpoints: lines that export_checkpoints() gave at any time, or this log's own copies elsewhere.
  Result<VerifyReport> verify(const std::function<bool(std::int64_t done, std::int64_t of)>& progress = {},
                              std::span<const std::string> checkpoints = {}) const;

  bool keyed() const;
  const std::string& key_id() const;

 private:
  struct State;
  explicit AuditLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::audit
