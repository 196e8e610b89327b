#include "store/connection.hh"

#include <sqlite3.h>

namespace mezite::store {

namespace {

// More than all of the hub's statements; a bound against text made at run time.
constexpr std::size_t kMaxKeptStatements = 512;
constexpr int kBusyTimeoutMs = 10'000;  // for others at the file: sqlite3's shell, a backup

ErrorCode to_error_code(int extended) {
  switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return ErrorCode::kAlreadyExists;
    default: break;
  }
  switch (extended & 0xff) {
    case SQLITE_CONSTRAINT: return ErrorCode::kFailedPrecondition;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::kCorrupt;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: return ErrorCode::kIo;
    case SQLITE_TOOBIG: return ErrorCode::kInvalidArgument;
    default: return ErrorCode::kInternal;
  }
}

}  // namespace

std::unexpected<Error> Connection::failure(std::string_view doing) const {
  if (handle_ == nullptr) return fail(ErrorCode::kIo, "{}: out of memory", doing);
  int code = sqlite3_extended_errcode(handle_);
  return fail(to_error_code(code), "{}: {}", doing, sqlite3_errmsg(handle_));
}

Result<std::unique_ptr<Connection>> Connection::open(const std::filesystem::path& path, Access access) {
  std::unique_ptr<Connection> connection(new Connection);
  // A reader opens for writing as well: WAL's shared memory needs it. query_only keeps it from the data.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (access == Access::kReadWrite) flags |= SQLITE_OPEN_CREATE;
  if (sqlite3_open_v2(path.c_str(), &connection->handle_, flags, nullptr) != SQLITE_OK) {
    return connection->failure("opening the database");
  }
  sqlite3_extended_result_codes(connection->handle_, 1);
  sqlite3_busy_timeout(connection->handle_, kBusyTimeoutMs);
  sqlite3_db_config(connection->handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_limit(connection->handle_, SQLITE_LIMIT_LENGTH, 64 << 20);
  MEZ_CHECK(
      connection->run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                      "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 67108864;"));
  if (access == Access::kReadOnly) MEZ_CHECK(connection->run("PRAGMA query_only = ON"));
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, statement] : kept_) sqlite3_finalize(statement->handle);
  if (handle_ != nullptr) sqlite3_close_v2(handle_);
}

Status Connection::run(const std::string& sql) {
  if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return failure("database");
  return {};
}

Status Connection::begin(const char* how) {
  MEZ_CHECK(run(how));
  in_transaction_ = true;
  return {};
}

Status Connection::commit() {
  Status done = run("COMMIT");
  if (!done) rollback();
  in_transaction_ = false;
  return done;
}

void Connection::rollback() {
  in_transaction_ = false;
  if (sqlite3_get_autocommit(handle_) == 0) (void)run("ROLLBACK");
}

Result<PreparedStatement*> Connection::prepare(std::string_view sql) {
  // SQLite undoes a transaction by itself on some errors (a full disk); what came after would then be kept for good.
  if (in_transaction_ && sqlite3_get_autocommit(handle_) != 0) {
    return fail(ErrorCode::kIo, "database: the transaction was undone after an error");
  }
  auto found = kept_.find(sql);
  if (found != kept_.end() && !found->second->in_use) {
    found->second->in_use = true;
    return found->second.get();
  }
  auto statement = std::make_unique<PreparedStatement>();
  if (sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement->handle, nullptr) != SQLITE_OK) {
    return failure("database");
  }
  if (statement->handle == nullptr) return fail(ErrorCode::kInternal, "database: empty statement");
  statement->in_use = true;
  if (found != kept_.end() || kept_.size() >= kMaxKeptStatements) return statement.release();
  statement->kept = true;
  return kept_.emplace(std::string(sql), std::move(statement)).first->second.get();
}

void Connection::release(PreparedStatement* statement) {
  if (!statement->kept) {
    sqlite3_finalize(statement->handle);
    delete statement;
    return;
  }
  sqlite3_reset(statement->handle);
  sqlite3_clear_bindings(statement->handle);
  statement->in_use = false;
}

}  // namespace mezite::store
