// The hub's database: one writer at a time, readers that do not wait for it. SQLite in WAL mode behind it; nothing here
// says so to its users.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hh"
#include "store/session.hh"

namespace mezite::store {

// One forward step of the schema. Versions grow by one from 1; a step that was released is never changed.
struct Migration {
  int version;
  std::string_view name;
  std::string_view sql;  // any number of statements
};

struct OpenOptions {
  std::filesystem::path path;                // its folder is made (0700) when missing; the file gets mode 0600
  std::span<const Migration> migrations;     // schema() for the hub
  std::string_view program_version = "dev";  // kept with each migration, for the message of a binary that is too old
  std::size_t readers = 4;
};

class Database;

// Reads and writes in one transaction. Everything is undone when it goes out of scope without commit(). While one is
// alive no other thread has one; the same thread asking for a second gets an error instead of waiting for itself.
class Transaction final : public Session {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // Durable when it returns. On an error nothing of it happened.
  Status commit();

 private:
  friend class Database;
  Transaction(Database* database, Connection* connection) : Session(connection), database_(database) {}
  Database* database_;
};

// Reads one consistent state. Keep it short: the log file grows while one is open.
class Snapshot final : public Session {
 public:
  Snapshot(Snapshot&& other) noexcept;
  Snapshot& operator=(Snapshot&&) = delete;
  ~Snapshot();

 private:
  friend class Database;
  Snapshot(Database* database, Connection* connection) : Session(connection), database_(database) {}
  Database* database_;
};

// Thread-safe; outlives its transactions and snapshots. Calls block: use a worker thread.
class Database {
 public:
  // Takes the lock that keeps a second hub off the file, opens or creates it, and runs the migrations it has not seen.
  // Errors: kIo "unable to open database file …"; kFailedPrecondition for a second hub (names its pid) and for a
  // database newer than `migrations` (names both versions); kCorrupt.
  static Result<std::unique_ptr<Database>> open(const OpenOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Result<Transaction> begin();
  Result<Snapshot> snapshot();

  // Folds the log into the file and empties it, so that nothing that was overwritten or deleted is left in either.
  // Waits for snapshots and the writer; kUnavailable when one does not end.
  Status scrub();

  // Whether the calling thread has a transaction.
  bool is_writing() const;

  const std::filesystem::path& path() const;
  int schema_version() const;

 private:
  friend class Transaction;
  friend class Snapshot;
  struct State;
  explicit Database(std::unique_ptr<State> state);
  void end_write(Connection* connection);
  void end_read(Connection* connection);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::store
