#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/file.hh"
#include "store/database.hh"
#include "store/schema.hh"
#include "store/settings.hh"

namespace mezite::store {
namespace {

namespace fs = std::filesystem;

constexpr Migration kOne[] = {{1, "things",
                               "CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER, data BLOB,"
                               " parent TEXT REFERENCES things (name)) STRICT"}};
constexpr Migration kTwo[] = {
    kOne[0], {2, "colour", "ALTER TABLE things ADD COLUMN colour TEXT; CREATE INDEX i ON things(size)"}};
constexpr Migration kBroken[] = {kOne[0], {2, "broken", "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)"}};

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-store-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ / "mezhub.db";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Database>> open(std::span<const Migration> migrations = kOne) {
    return Database::open({.path = path_, .migrations = migrations, .program_version = "1.2.3"});
  }
  std::string shell(const std::string& command) {
    std::string out;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    for (std::size_t n; (n = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
    ::pclose(pipe);
    return out;
  }

  fs::path folder_, path_;
};

TEST_F(StoreTest, KeepsEveryTypeOfValue) {
  auto db = open().value();
  Bytes data{0, 1, 255};
  {
    auto tx = db->begin().value();
    ASSERT_EQ(tx.execute("INSERT INTO things (name, size, data) VALUES (?1, ?2, ?3)",
                         {std::string_view("a\0b; DROP TABLE things", 22), std::int64_t{-5}, data})
                  .value(),
              1);
    ASSERT_TRUE(tx.execute("INSERT INTO things (name, size, data) VALUES (?1, ?2, ?3)", {"", nullptr, BytesView()}));
    ASSERT_TRUE(tx.commit());
  }
  auto reader = db->snapshot().value();
  auto rows = reader.query("SELECT name, size, data FROM things ORDER BY length(data)").value();
  ASSERT_TRUE(rows.next().value());
  EXPECT_EQ(rows.text(0), "");
  EXPECT_TRUE(rows.is_null(1));
  EXPECT_FALSE(rows.is_null(2));
  EXPECT_FALSE(rows.optional_time(1));
  ASSERT_TRUE(rows.next().value());
  EXPECT_EQ(rows.text(0), std::string("a\0b; DROP TABLE things", 22));
  EXPECT_EQ(rows.integer(1), -5);
  EXPECT_EQ(rows.bytes(2), data);
  EXPECT_FALSE(rows.next().value());
  EXPECT_FALSE(rows.next().value());
  EXPECT_EQ(rows.text(0), "");
}

TEST_F(StoreTest, ATransactionThatIsDroppedNeverHappened) {
  auto db = open().value();
  {
    auto tx = db->begin().value();
    ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES ('gone')"));
  }
  EXPECT_EQ(db->snapshot().value().query_integer("SELECT count(*) FROM things").value(), 0);
  auto tx = db->begin().value();
  ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES ('kept')"));
  EXPECT_EQ(db->snapshot().value().query_integer("SELECT count(*) FROM things").value(), 0);
  ASSERT_TRUE(tx.commit());
  EXPECT_EQ(tx.commit().error().code, ErrorCode::kInternal);
  EXPECT_EQ(db->snapshot().value().query_integer("SELECT count(*) FROM things").value(), 1);
}

TEST_F(StoreTest, ErrorsSayWhatKindTheyAre) {
  auto db = open().value();
  auto tx = db->begin().value();
  ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES ('a')"));
  EXPECT_EQ(tx.execute("INSERT INTO things (name) VALUES ('a')").error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(tx.execute("INSERT INTO things (name, parent) VALUES ('b', 'nobody')").error().code,
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(tx.execute("INSERT INTO things (name) VALUES (?1)").error().code, ErrorCode::kInternal);
  EXPECT_EQ(tx.query_row("SELECT 1 FROM things WHERE name = 'z'").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(tx.query("SELEC").error().code, ErrorCode::kInternal);
  EXPECT_EQ(db->snapshot().value().execute("DELETE FROM things").error().code, ErrorCode::kIo) << "readers only read";
}

TEST_F(StoreTest, TheSameThreadCannotWaitForItself) {
  auto db = open().value();
  auto tx = db->begin().value();
  EXPECT_EQ(db->begin().error().code, ErrorCode::kInternal);
}

TEST_F(StoreTest, OneStatementInUseTwiceAtOnce) {
  auto db = open().value();
  auto tx = db->begin().value();
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES (?1)", {name}));
  int pairs = 0;
  auto outer = tx.query("SELECT name FROM things").value();
  while (outer.next().value()) {
    auto inner = tx.query("SELECT name FROM things").value();
    while (inner.next().value()) ++pairs;
  }
  EXPECT_EQ(pairs, 9);
}

TEST_F(StoreTest, WritersInTurnReadersAtOnce) {
  auto db = open(schema()).value();
  std::atomic<int> failures = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        auto tx = db->begin();
        if (!tx || !bump_revision(*tx) || !tx->commit()) ++failures;
        auto reader = db->snapshot();
        if (!reader) {
          ++failures;
          continue;
        }
        auto first = current_revision(*reader);
        auto second = current_revision(*reader);
        if (!first || first != second) ++failures;  // one state
      }
    });
  }
  threads.clear();
  EXPECT_EQ(failures, 0);
  auto reader = db->snapshot().value();
  EXPECT_EQ(current_revision(reader).value(), 201);
}

TEST_F(StoreTest, MoreReadersThanAreKept) {
  auto db = open().value();
  std::vector<Snapshot> many;
  for (int i = 0; i < 64; ++i) many.push_back(db->snapshot().value());
  EXPECT_EQ(db->snapshot().error().code, ErrorCode::kResourceExhausted);
  many.clear();
  EXPECT_TRUE(db->snapshot());
}

TEST_F(StoreTest, FileIsPrivateEvenWhenItWasCopiedInOpen) {
  {
    auto db = open().value();
    auto tx = db->begin().value();
    ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES ('a')"));
    ASSERT_TRUE(tx.commit());
    for (const char* suffix : {"", "-wal", "-shm"}) {
      struct stat status{};
      ASSERT_EQ(::stat((path_.string() + suffix).c_str(), &status), 0) << suffix;
      EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
    }
  }
  ::chmod(path_.c_str(), 0644);
  auto db = open().value();
  struct stat status{};
  ::stat(path_.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(StoreTest, MigrationsRunOnceAndForward) {
  {
    ASSERT_TRUE(open(kOne));
  }
  {
    ASSERT_TRUE(open(kOne));
  }
  auto db = open(kTwo).value();
  EXPECT_EQ(db->schema_version(), 2);
  auto reader = db->snapshot().value();
  EXPECT_TRUE(reader.query("SELECT colour FROM things"));
  EXPECT_EQ(reader.query_integer("SELECT count(*) FROM schema_migrations").value(), 2);
}

TEST_F(StoreTest, AMigrationThatFailsLeavesNothing) {
  {
    ASSERT_TRUE(open(kOne));
  }
  auto failed = open(kBroken);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("migration 2 (broken)"), std::string::npos) << failed.error().message;
  auto db = open(kOne).value();
  EXPECT_EQ(db->snapshot().value().query_integer("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").value(), 0);
}

// R19: a binary older than the schema refuses it and names the versions.
TEST_F(StoreTest, ADatabaseNewerThanTheProgramIsRefused) {
  {
    ASSERT_TRUE(open(kTwo));
  }
  auto refused = open(kOne);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("schema version 2, made by mezhub 1.2.3"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("knows versions up to 1"), std::string::npos);
}

// T28, for root too: the parent is a file, or a file system that takes no files.
TEST_F(StoreTest, UnwritableParent) {
  (void)write_file(folder_ / "blocker", {});
  for (fs::path path :
       {folder_ / "blocker" / "data" / "mezhub.db", fs::path("/proc/mezite/mezhub.db"), fs::path("/proc/mezhub.db")}) {
    auto refused = Database::open({.path = path, .migrations = kOne});
    ASSERT_FALSE(refused) << path;
    EXPECT_NE(refused.error().message.find("unable to open database file"), std::string::npos)
        << refused.error().message;
    EXPECT_NE(refused.error().message.find("data_dir"), std::string::npos);
  }
  fs::create_directories(path_);  // the file itself is a folder
  EXPECT_NE(open().error().message.find("unable to open database file"), std::string::npos);
}

TEST_F(StoreTest, WhatIsNoDatabaseIsRefused) {
  std::string junk(8192, 'x');
  ASSERT_TRUE(write_file(path_, as_bytes(junk)));
  auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt) << refused.error().message;
  EXPECT_NE(refused.error().message.find("mezhub.db"), std::string::npos);
}

// R17: SQLite is for one hub.
TEST_F(StoreTest, ASecondHubIsRefusedWithTheFirstOnesPid) {
  {
    auto first = open().value();
    auto second = open();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kFailedPrecondition);
    EXPECT_NE(second.error().message.find("another mezhub (pid " + std::to_string(::getpid()) + ")"), std::string::npos)
        << second.error().message;
  }
  EXPECT_TRUE(open()) << "the lock goes with the process that had it";
}

// A hub that is killed in mid-write loses what it had not committed and nothing else.
TEST_F(StoreTest, KilledInMidTransaction) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t child = ::fork();
  if (child == 0) {
    auto db = open();
    auto tx = (*db)->begin();
    (void)tx->execute("INSERT INTO things (name) VALUES ('committed')");
    (void)tx->commit();
    auto open_one = (*db)->begin();
    (void)open_one->execute("INSERT INTO things (name) VALUES ('lost')");
    (void)!::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs::exists(path_.string() + "-wal"));
  auto db = open().value();
  auto reader = db->snapshot().value();
  auto row = reader.query_row("SELECT group_concat(name) FROM things").value();
  EXPECT_EQ(row.text(0), "committed");
  ::close(ready[0]);
  ::close(ready[1]);
}

// T29, R5: stock sqlite3 copies the database of a hub that is writing; every copy is a whole state.
TEST_F(StoreTest, BackupWhileWriting) {
  auto db = open().value();
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (int i = 0; !stop; ++i) {
      auto tx = db->begin().value();
      for (int half = 0; half < 2; ++half) {
        (void)tx.execute("INSERT INTO things (name, data) VALUES (?1, zeroblob(2000))",
                         {std::to_string(i) + "/" + std::to_string(half)});
      }
      (void)tx.commit();
    }
  });
  for (int round = 0; round < 5; ++round) {
    fs::path copy = folder_ / ("copy" + std::to_string(round)) / "mezhub.db";
    fs::create_directories(copy.parent_path());
    EXPECT_EQ(shell("sqlite3 " + path_.string() + " \".backup '" + copy.string() + "'\""), "");
    EXPECT_EQ(shell("sqlite3 " + copy.string() + " 'PRAGMA integrity_check; SELECT count(*) % 2 FROM things'"),
              "ok\n0\n");
    auto restored = Database::open({.path = copy, .migrations = kOne});
    ASSERT_TRUE(restored) << restored.error().message;
  }
  stop = true;
}

TEST_F(StoreTest, OthersMayReadAndWriteTheFile) {
  auto db = open().value();
  EXPECT_EQ(shell("sqlite3 " + path_.string() + " \"INSERT INTO things (name) VALUES ('by hand')\""), "");
  EXPECT_EQ(db->snapshot().value().query_integer("SELECT count(*) FROM things").value(), 1);
}

TEST_F(StoreTest, InTheWorkingFolder) {
  fs::path before = fs::current_path();
  fs::current_path(folder_);
  auto db = Database::open({.path = "mezhub.db", .migrations = kOne});
  fs::current_path(before);
  ASSERT_TRUE(db) << db.error().message;
  EXPECT_TRUE(fs::exists(folder_ / "mezhub.lock"));
}

TEST_F(StoreTest, ScrubEmptiesTheLog) {
  auto db = open().value();
  {
    auto tx = db->begin().value();
    EXPECT_TRUE(db->is_writing());
    EXPECT_EQ(db->scrub().error().code, ErrorCode::kInternal);
    ASSERT_TRUE(tx.execute("INSERT INTO things (name) VALUES ('a')"));
    ASSERT_TRUE(tx.commit());
  }
  EXPECT_FALSE(db->is_writing());
  EXPECT_GT(fs::file_size(path_.string() + "-wal"), 0u);
  ASSERT_TRUE(db->scrub());
  EXPECT_EQ(fs::file_size(path_.string() + "-wal"), 0u);
  EXPECT_TRUE(db->begin()) << "the writer is free again";
}

TEST_F(StoreTest, WholeSchemaAndSettings) {
  auto db = open(schema()).value();
  auto tx = db->begin().value();
  EXPECT_FALSE(get_setting(tx, "x").value());
  ASSERT_TRUE(put_setting(tx, "x", "1"));
  ASSERT_TRUE(put_setting(tx, "x", "2"));
  EXPECT_EQ(get_setting(tx, "x").value(), "2");
  EXPECT_EQ(current_revision(tx).value(), 1);
  EXPECT_EQ(bump_revision(tx).value(), 2);
  int version = 0;
  for (const Migration& step : schema()) EXPECT_EQ(step.version, ++version) << step.name;
}

}  // namespace
}  // namespace mezite::store
