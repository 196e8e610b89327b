#include "store/database.hh"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/file.hh"
#include "base/unique_fd.hh"
#include "store/connection.hh"
#include "store/lock_file.hh"
#include "store/migrate.hh"

namespace mezite::store {

namespace {

// Snapshots at once. Beyond `readers`, connections are opened for the occasion and closed after it.
constexpr std::size_t kMaxReaders = 64;

std::unexpected<Error> cannot_open(const std::filesystem::path& path, std::string_view why) {
  return fail(ErrorCode::kIo,
              "unable to open database file {}: {}; give mezhub a data_dir that it can write ({} is what it tried)",
              path.string(), why, path.parent_path().string());
}

// Makes the file with the mode it should have before SQLite does with another, and tightens one that was copied in.
Status prepare_file(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return cannot_open(path, ::strerror(errno));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return cannot_open(path, "not a regular file");
  if ((status.st_mode & 077) != 0) (void)::fchmod(fd.get(), 0600);
  return {};
}

class Direct final : public Session {
 public:
  explicit Direct(Connection* connection) : Session(connection) {}
};

// A log that a killed hub left behind belongs to its database; another file put in that place since (a restored copy)
// would be mixed with it.
Status check_after_crash(Connection& connection, const std::filesystem::path& path) {
  Direct session(&connection);
  MEZ_TRY(Rows rows, session.query_row("PRAGMA quick_check(1)"));
  if (rows.text(0) == "ok") return {};
  return fail(ErrorCode::kCorrupt,
              "the database {0} is damaged ({1}); if a backup was copied into place while {0}-wal was there, remove "
              "{0}-wal and {0}-shm and copy it again",
              path.string(), rows.text(0));
}

}  // namespace

struct Database::State {
  std::filesystem::path path;
  UniqueFd lock;
  int schema_version = 0;
  std::size_t kept_readers = 0;

  std::mutex mutex;
  std::condition_variable writer_free;
  bool writing = false;
  std::thread::id writer;
  std::vector<std::unique_ptr<Connection>> idle_readers;
  std::size_t busy_readers = 0;
  std::unique_ptr<Connection> write_connection;
};

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}

Database::~Database() {
  state_->idle_readers.clear();
  state_->write_connection.reset();  // the last one: SQLite folds the log into the file
}

Result<std::unique_ptr<Database>> Database::open(const OpenOptions& options) {
  auto state = std::make_unique<State>();
  std::error_code no_folder;  // connections are opened later too, when the working folder may be another
  state->path = std::filesystem::absolute(options.path, no_folder);
  if (no_folder) return cannot_open(options.path, no_folder.message());
  state->kept_readers = options.readers;
  const auto folder = state->path.parent_path();
  if (auto made = make_directories(folder); !made) return cannot_open(options.path, made.error().message);
  auto lock = take_lock_file(folder / (options.path.stem().string() + ".lock"));
  if (!lock) {
    if (lock.error().code == ErrorCode::kFailedPrecondition) return std::unexpected(lock.error());
    return cannot_open(options.path, lock.error().message);
  }
  state->lock = std::move(*lock);
  MEZ_CHECK(prepare_file(options.path));

  std::error_code ignored;
  auto wal = options.path;
  wal += "-wal";
  bool crashed = std::filesystem::file_size(wal, ignored) > 0 && !ignored;
  auto connection = Connection::open(options.path, Connection::Access::kReadWrite);
  if (!connection) {
    if (connection.error().code == ErrorCode::kIo) return cannot_open(options.path, connection.error().message);
    return wrap(connection.error(), options.path.string());
  }
  state->write_connection = std::move(*connection);
  if (crashed) MEZ_CHECK(check_after_crash(*state->write_connection, options.path));
  MEZ_CHECK(migrate(*state->write_connection, options.migrations, options.program_version, options.path));
  MEZ_CHECK(sync_directory(folder));
  state->schema_version = options.migrations.empty() ? 0 : options.migrations.back().version;
  return std::unique_ptr<Database>(new Database(std::move(state)));
}

const std::filesystem::path& Database::path() const { return state_->path; }
int Database::schema_version() const { return state_->schema_version; }

bool Database::is_writing() const {
  std::lock_guard lock(state_->mutex);
  return state_->writing && state_->writer == std::this_thread::get_id();
}

Result<Transaction> Database::begin() {
  {
    std::unique_lock lock(state_->mutex);
    if (state_->writing && state_->writer == std::this_thread::get_id()) {
      return fail(ErrorCode::kInternal, "database: a transaction inside a transaction");
    }
    state_->writer_free.wait(lock, [&] { return !state_->writing; });
    state_->writing = true;
    state_->writer = std::this_thread::get_id();
  }
  if (auto begun = state_->write_connection->begin("BEGIN IMMEDIATE"); !begun) {
    end_write(nullptr);
    return std::unexpected(begun.error());
  }
  return Transaction(this, state_->write_connection.get());
}

void Database::end_write(Connection* connection) {
  if (connection != nullptr) connection->rollback();
  std::lock_guard lock(state_->mutex);
  state_->writing = false;
  state_->writer = {};
  state_->writer_free.notify_one();
}

Status Database::scrub() {
  // A transaction claims the write connection; the checkpoint itself has to run outside of one.
  MEZ_TRY(Transaction turn, begin());
  state_->write_connection->rollback();
  Direct session(state_->write_connection.get());
  MEZ_TRY(Rows rows, session.query_row("PRAGMA wal_checkpoint(TRUNCATE)"));
  if (rows.integer(0) == 0) return {};
  return fail(ErrorCode::kUnavailable, "database: the log is in use by a reader; try again in a moment");
}

Result<Snapshot> Database::snapshot() {
  std::unique_ptr<Connection> connection;
  {
    std::lock_guard lock(state_->mutex);
    if (state_->busy_readers >= kMaxReaders) {
      return fail(ErrorCode::kResourceExhausted, "database: too many readers at once; try again in a moment");
    }
    ++state_->busy_readers;
    if (!state_->idle_readers.empty()) {
      connection = std::move(state_->idle_readers.back());
      state_->idle_readers.pop_back();
    }
  }
  auto give_up = [&](Error error) {
    std::lock_guard lock(state_->mutex);
    --state_->busy_readers;
    return std::unexpected(std::move(error));
  };
  if (!connection) {
    auto opened = Connection::open(state_->path, Connection::Access::kReadOnly);
    if (!opened) return give_up(opened.error());
    connection = std::move(*opened);
  }
  if (auto begun = connection->begin("BEGIN"); !begun) return give_up(begun.error());
  return Snapshot(this, connection.release());
}

void Database::end_read(Connection* connection) {
  std::unique_ptr<Connection> owned(connection);
  owned->rollback();
  std::lock_guard lock(state_->mutex);
  --state_->busy_readers;
  if (state_->idle_readers.size() < state_->kept_readers) state_->idle_readers.push_back(std::move(owned));
}

Transaction::Transaction(Transaction&& other) noexcept
    : Session(std::exchange(other.connection_, nullptr)), database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (connection_ != nullptr) database_->end_write(connection_);
}

Status Transaction::commit() {
  if (connection_ == nullptr) return fail(ErrorCode::kInternal, "database: a transaction ended twice");
  Status done = connection_->commit();
  database_->end_write(std::exchange(connection_, nullptr));
  return done;
}

Snapshot::Snapshot(Snapshot&& other) noexcept
    : Session(std::exchange(other.connection_, nullptr)), database_(std::exchange(other.database_, nullptr)) {}

Snapshot::~Snapshot() {
  if (connection_ != nullptr) database_->end_read(connection_);
}

}  // namespace mezite::store
