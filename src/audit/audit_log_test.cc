#include "audit/audit_log.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/id.hh"
#include "store/schema.hh"

namespace mezite::audit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

class AuditLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-audit-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ / "mezhub.db";
    open();
  }
  void TearDown() override {
    close();
    fs::remove_all(folder_);
  }
  void close() {
    log_.reset();
    db_.reset();
  }
  void open(std::string_view key = "the key", std::initializer_list<std::string_view> previous = {}) {
    close();
    db_ = store::Database::open({.path = path_, .migrations = store::schema()}).value();
    AuditLog::Options options{.cluster_name = "example", .hmac_key = Secret(key), .previous_hmac_keys = {}};
    for (std::string_view old : previous) options.previous_hmac_keys.emplace_back(old);
    auto opened = AuditLog::open(*db_, std::move(options), clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
  }
  Event event(EventKind kind = EventKind::kUserLogin, std::string user = "alice") {
    clock_.advance(std::chrono::seconds(1));
    Event made = make_event(kind, clock_);
    made.user_name = std::move(user);
    return made;
  }
  void append(int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(log_->append(event()));
  }
  VerifyReport verify() {
    auto report = log_->verify();
    EXPECT_TRUE(report) << report.error().message;
    return *report;
  }
  // As somebody with access to the file does it.
  void tamper(const std::string& sql) { ASSERT_EQ(shell("sqlite3 " + path_.string() + " \"" + sql + "\""), ""); }
  std::string id_of(int sequence) {
    std::string id = shell("sqlite3 " + path_.string() +
                           " \"SELECT id FROM audit_events WHERE sequence = " + std::to_string(sequence) + "\"");
    return id.substr(0, id.size() - 1);
  }
  void expect_bad(std::int64_t sequence, std::string_view id, std::string_view problem) {
    for (const char* when : {"running", "after a restart"}) {
      VerifyReport report = verify();
      EXPECT_FALSE(report.ok) << when;
      EXPECT_EQ(report.first_bad_sequence, sequence) << when << ": " << report.problem;
      EXPECT_EQ(report.first_bad_id, id) << when << ": " << report.problem;
      EXPECT_THAT(report.problem, HasSubstr(std::string(problem))) << when;
      EXPECT_EQ(report.verified, sequence - 1) << when;
      open();
    }
  }
  static constexpr const char* kShiftUp =
      "UPDATE audit_events SET sequence = -sequence - 1 WHERE sequence >= 5; UPDATE audit_events SET sequence = "
      "-sequence"
      " WHERE sequence < 0; ";

  fs::path folder_, path_;
  ManualClock clock_;
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<AuditLog> log_;
};

TEST_F(AuditLogTest, AppendsAndVerifies) {
  EXPECT_EQ(log_->last_sequence(), 0);
  EXPECT_TRUE(verify().ok);
  append(1000);
  EXPECT_EQ(log_->last_sequence(), 1000);
  std::int64_t seen = 0;
  auto report = log_->verify([&](std::int64_t done, std::int64_t of) {
    EXPECT_GT(done, seen);
    EXPECT_EQ(of, 1000);
    seen = done;
    return true;
  });
  EXPECT_TRUE(report->ok) << report->problem;
  EXPECT_TRUE(report->keyed);
  EXPECT_EQ(report->verified, 1000);
  EXPECT_EQ(report->unkeyed, 0);
  EXPECT_EQ(seen, 1000);
  EXPECT_EQ(log_->verify([](auto, auto) { return false; }).error().code, ErrorCode::kUnavailable);
}

TEST_F(AuditLogTest, TheChainIsAsDocumented) {
  append(2);
  auto listed = log_->list({.after_sequence = 0}).value();
  ASSERT_EQ(listed.size(), 2u);
  Bytes previous(32);
  for (const StoredEvent& stored : listed) {
    std::string canonical = to_canonical_json(event_from_json(stored.json).value());
    Bytes message = previous;
    message.insert(message.end(), canonical.begin(), canonical.end());
    auto hmac = crypto::hmac_sha256(as_bytes("the key"), message);
    EXPECT_THAT(stored.json, HasSubstr("\"hmac\":\"" + to_hex(hmac) + "\""));
    EXPECT_THAT(stored.json, HasSubstr("\"prev_hmac\":\"" + to_hex(previous) + "\""));
    EXPECT_THAT(stored.json, HasSubstr("\"hmac_key_id\":\"" + chain_key_id(Secret(std::string_view("the key")))));
    EXPECT_THAT(stored.json, HasSubstr("\"cluster_name\":\"example\""));
    previous.assign(hmac.begin(), hmac.end());
  }
}

TEST_F(AuditLogTest, AnEventSentTwiceIsStoredOnce) {
  std::vector<Event> events{event(), event(), event()};
  EXPECT_EQ(log_->append(events).value(), 3u);
  EXPECT_EQ(log_->append(events).value(), 0u);
  events.push_back(event());
  events.push_back(events.back());
  EXPECT_EQ(log_->append(events).value(), 1u);
  EXPECT_EQ(log_->last_sequence(), 4);
  EXPECT_EQ(log_->append(std::span<const Event>()).value(), 0u);
  EXPECT_TRUE(verify().ok);
}

TEST_F(AuditLogTest, ManyAtOnce) {
  constexpr int kThreads = 8, kEach = 50;
  std::vector<Event> shared;
  for (int i = 0; i < kEach; ++i) shared.push_back(event());
  std::atomic<int> stored = 0, failed = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Event own = make_event(EventKind::kUserLogin);
        own.user_name = "user" + std::to_string(t);
        std::vector<Event> both{own, shared[static_cast<std::size_t>(i)]};
        auto done = log_->append(both);
        if (done) {
          stored += static_cast<int>(*done);
        } else {
          ++failed;
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(stored, kThreads * kEach + kEach);
  EXPECT_EQ(log_->last_sequence(), stored);
  EXPECT_TRUE(verify().ok);
  open();
  EXPECT_TRUE(verify().ok);
  EXPECT_EQ(log_->last_sequence(), stored);
}

TEST_F(AuditLogTest, VerifiesWhileOthersAppend) {
  append(10);
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    while (!stop) (void)log_->append(make_event(EventKind::kUserLogin));
  });
  for (int i = 0; i < 20; ++i) {
    VerifyReport report = verify();
    EXPECT_TRUE(report.ok) << report.problem;
  }
  stop = true;
}

TEST_F(AuditLogTest, TheQueueIsBoundedButEverythingGetsThrough) {
  close();
  db_ = store::Database::open({.path = path_, .migrations = store::schema()}).value();
  log_ = AuditLog::open(*db_, {.cluster_name = "c", .hmac_key = {}, .previous_hmac_keys = {}, .max_queued_events = 2})
             .value();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        std::vector<Event> three{make_event(EventKind::kUserLogin), make_event(EventKind::kUserLogin),
                                 make_event(EventKind::kUserLogin)};
        EXPECT_EQ(log_->append(three).value(), 3u);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(log_->last_sequence(), 180);
}

TEST_F(AuditLogTest, NeverInsideATransaction) {
  auto tx = db_->begin().value();
  EXPECT_EQ(log_->append(event()).error().code, ErrorCode::kInternal);
}

TEST_F(AuditLogTest, Lists) {
  auto start = clock_.now();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(log_->append(event(EventKind::kUserLogin, "alice")));
    ASSERT_TRUE(log_->append(event(EventKind::kUserLoginFailed, "bob")));
    Event session = event(EventKind::kSessionStart, "alice");
    session.session_id = "s" + std::to_string(i);
    ASSERT_TRUE(log_->append(session));
    ASSERT_TRUE(log_->append(event(EventKind::kAccessDeniedSourceAddress, "mallory")));
  }
  auto sequences = [&](const Filter& filter) {
    std::vector<std::int64_t> out;
    auto listed = log_->list(filter);
    EXPECT_TRUE(listed) << listed.error().message;
    for (const StoredEvent& stored : *listed) out.push_back(stored.sequence);
    return out;
  };
  using List = std::vector<std::int64_t>;
  EXPECT_EQ(sequences({.limit = 3}), (List{12, 11, 10}));
  EXPECT_EQ(sequences({.type = "user.login"}), (List{9, 5, 1}));
  EXPECT_EQ(sequences({.type = "user.*"}), (List{10, 9, 6, 5, 2, 1}));
  EXPECT_EQ(sequences({.type = "user.login.*"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.type = "use.*"}), (List{}));
  EXPECT_EQ(sequences({.type = "access.denied"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.type = "' OR 1 --"}), (List{}));
  EXPECT_EQ(sequences({.text = "alice"}), (List{11, 9, 7, 5, 3, 1}));
  EXPECT_EQ(sequences({.text = "MALLORY access"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.text = "user.login failed"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.text = "mall*"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.text = "mall"}), (List{}));
  EXPECT_EQ(sequences({.type = "session.*", .text = "alice"}), (List{11, 7, 3}));
  EXPECT_EQ(sequences({.user = "bob", .text = "alice"}), (List{}));
  EXPECT_EQ(sequences({.session_id = "s1", .text = "start"}), (List{7}));
  EXPECT_EQ(sequences({.session_id = "s1", .text = "end"}), (List{}));
  EXPECT_EQ(
      sequences({.since = start + std::chrono::seconds(3), .until = start + std::chrono::seconds(8), .text = "alice"}),
      (List{7, 5, 3}));
  EXPECT_EQ(sequences({.text = "alice", .limit = 2, .after_sequence = 1}), (List{3, 5}));
  for (const char* hostile : {"\"", "\" OR 1 --", "alice\" NOT \"x", "NEAR(", "a:b", "^", "*", "--"}) {
    auto searched = log_->list({.text = hostile});
    if (searched) {
      EXPECT_THAT(*searched, ::testing::SizeIs(0)) << hostile;
    } else {
      EXPECT_EQ(searched.error().code, ErrorCode::kInvalidArgument) << hostile << searched.error().message;
    }
  }
  EXPECT_EQ(sequences({.user = "bob"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.type = "session.*", .user = "alice"}), (List{11, 7, 3}));
  EXPECT_EQ(sequences({.session_id = "s1"}), (List{7}));
  EXPECT_EQ(sequences({.since = start + std::chrono::seconds(11)}), (List{12, 11}));
  EXPECT_EQ(sequences({.until = start + std::chrono::seconds(3)}), (List{2, 1}));
  EXPECT_EQ(sequences({.after_sequence = 10}), (List{11, 12}));
  EXPECT_EQ(sequences({.type = "user.*", .limit = 2, .after_sequence = 1}), (List{2, 5}));
  EXPECT_EQ(sequences({.limit = 0}).size(), 1u);
  EXPECT_EQ(sequences({.limit = 1'000'000}).size(), 12u);
  EXPECT_TRUE(event_from_json(log_->list({.limit = 1})->at(0).json));
}

TEST_F(AuditLogTest, SearchesGoByIndexes) {
  for (const char* condition :
       {"1", "event_type = 'a'", "event_type = 'a' AND timestamp >= 5 AND timestamp < 9", "timestamp >= 5",
        "user_name <> '' AND user_name = 'x'", "user_name <> '' AND user_name = 'x' AND event_type = 'a'",
        "session_id <> '' AND session_id = 'x'", "timestamp <= 5 AND (timestamp < 5 OR sequence < 7)"}) {
    std::string plan =
        shell("sqlite3 " + path_.string() + " \"EXPLAIN QUERY PLAN SELECT * FROM audit_events e WHERE 1 AND " +
              condition + " ORDER BY timestamp DESC, sequence DESC LIMIT 10\"");
    EXPECT_THAT(plan, HasSubstr("e USING INDEX")) << condition;
    EXPECT_THAT(plan, ::testing::Not(HasSubstr("TEMP B-TREE"))) << condition;
  }
}

// Every page of every search, put together, is the search without pages: also where events share a millisecond and
// where they were written late.
TEST_F(AuditLogTest, PagesAreWhole) {
  std::vector<Event> events;
  for (int i = 0; i < 60; ++i) {
    Event made = event(i % 3 == 0 ? EventKind::kSessionStart : EventKind::kSessionEnd, i % 2 == 0 ? "alice" : "bob");
    if (i % 3 != 0) made.timestamp = from_unix_millis(1'800'000'000'000 + (i * 7919) % 13);
    made.session_id = "s" + std::to_string(i % 4);
    events.push_back(std::move(made));
  }
  ASSERT_TRUE(log_->append(events));
  for (Filter filter : std::initializer_list<Filter>{{},
                                                     {.type = "session.end"},
                                                     {.type = "session.*"},
                                                     {.user = "bob"},
                                                     {.session_id = "s3"},
                                                     {.text = "alice"},
                                                     {.until = from_unix_millis(1'800'000'000'009)},
                                                     {.type = "session.*", .user = "alice", .text = "end"}}) {
    auto whole = log_->list(filter).value();
    ASSERT_GE(whole.size(), 9u);
    std::vector<std::int64_t> expected, seen;
    for (const StoredEvent& stored : whole) expected.push_back(stored.sequence);
    EXPECT_TRUE(std::ranges::is_sorted(whole, std::greater(),
                                       [](const StoredEvent& e) { return std::pair(e.timestamp_ms, e.sequence); }));
    filter.limit = 4;
    while (true) {
      auto page = log_->list(filter).value();
      if (page.empty()) break;
      for (const StoredEvent& stored : page) seen.push_back(stored.sequence);
      filter.before = Filter::Position{page.back().timestamp_ms, page.back().sequence};
    }
    EXPECT_EQ(seen, expected);
  }
}

// A copy of the database and of everything beside it, put back while the hub was down: only what was kept elsewhere
// shows it.
TEST_F(AuditLogTest, RolledBackTogetherWithItsHead) {
  append(5);
  close();
  fs::copy(folder_, folder_.string() + "-copy", fs::copy_options::recursive);
  open();
  append(5);
  auto kept = log_->export_checkpoints().value();
  ASSERT_EQ(kept.size(), 1u);
  auto report = log_->verify({}, kept).value();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_EQ(report.checkpoints, 1u);
  close();
  fs::remove_all(folder_);
  fs::rename(folder_.string() + "-copy", folder_);
  open();
  EXPECT_TRUE(verify().ok) << "as it was";
  report = log_->verify({}, kept).value();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.damage, "rolled back");
  EXPECT_EQ(report.first_bad_sequence, 6);
  append(7);  // on top of the old state: the number is there again, the event is another
  report = log_->verify({}, kept).value();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 10);
  EXPECT_THAT(report.problem, HasSubstr("put back to an older state"));
}

TEST_F(AuditLogTest, CheckpointsAreSignedAndOutliveTheKey) {
  append(2);
  std::string line = log_->export_checkpoints().value().at(0);
  EXPECT_THAT(line, HasSubstr("\"sequence\":2"));
  EXPECT_EQ(log_->last_sequence(), 3) << "it is an event itself, so that sinks carry it away";
  open("another key", {"the key"});
  auto both = log_->export_checkpoints().value();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0], line);
  EXPECT_EQ(log_->verify({}, both)->checkpoints, 2u);
  std::string forged = line;
  forged.replace(forged.find("\"sequence\":2"), 12, "\"sequence\":1");
  EXPECT_EQ(log_->verify({}, std::vector{forged}).error().code, ErrorCode::kUnauthenticated);
  for (std::string_view junk : {"", "{}", "[]", "{\"sequence\":1}", "{\"sequence\":1,\"hmac\":\"00\"}"}) {
    EXPECT_EQ(log_->verify({}, std::vector{std::string(junk)}).error().code, ErrorCode::kInvalidArgument) << junk;
  }
  open("another key");
  EXPECT_FALSE(log_->verify({}, both)->ok) << "the old key is not configured";
}

TEST_F(AuditLogTest, CheckpointsComeByTimeAndByNumber) {
  append(2);
  clock_.advance(std::chrono::hours(1));
  append(1);
  EXPECT_EQ(log_->list({.type = "audit.checkpoint"})->size(), 1u);
  append(1);
  open();
  append(1);
  EXPECT_EQ(log_->list({.type = "audit.checkpoint"})->size(), 1u);
  std::vector<Event> many(1000);
  for (int i = 0; i < 10; ++i) {
    for (Event& one : many) one = event();
    ASSERT_TRUE(log_->append(many));
  }
  EXPECT_GE(log_->list({.type = "audit.checkpoint"})->size(), 2u);
  EXPECT_TRUE(verify().ok);
}

TEST_F(AuditLogTest, HostileTextKeepsTheChain) {
  Event bad = event(EventKind::kUserLoginFailed, std::string("\xff\x00\x1b[2J\"", 7));
  bad.details = "\xff";
  bad.session_id = std::string(100'000, '\xfe');
  ASSERT_TRUE(log_->append(bad));
  append(1);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
}

TEST_F(AuditLogTest, EventsOfAnOlderSchemaAreFoundByText) {
  append(3);
  close();
  tamper(
      "DROP TABLE audit_words; DROP TABLE audit_sinks; DROP INDEX audit_events_by_type_time; DROP INDEX"
      " audit_events_by_user_time; DROP INDEX audit_events_by_user_type; DROP INDEX audit_events_by_session_time;"
      " CREATE INDEX audit_events_by_type ON audit_events (event_type); CREATE INDEX audit_events_by_user ON"
      " audit_events (user_name); CREATE INDEX audit_events_by_session ON audit_events (session_id);"
      " DROP TABLE revocations; ALTER TABLE ca_rotations DROP COLUMN revision; ALTER TABLE ca_rotations DROP COLUMN "
      "note;"
      " ALTER TABLE nodes DROP COLUMN ca_report; DELETE FROM schema_migrations WHERE version >= 6");
  open();
  append(1);
  EXPECT_EQ(log_->list({.text = "alice user.login"})->size(), 4u);
  EXPECT_TRUE(verify().ok);
}

// Keys of the event's own shape inside of it, quotes and braces in texts: what counts stands at the top.
TEST_F(AuditLogTest, WhatLooksLikeColumnsInsideIsNone) {
  Event made = event(EventKind::kUserLogin, "a\"},{[\\");
  made.resource_labels = {{"user_name", "label"}, {"id", "}"}, {"timestamp", "\\\""}};
  made.details = R"({"event_type":"x","id":{"id":["]"]},"session_id":"{","user_name":"root"})";
  ASSERT_TRUE(log_->append(made));
  append(1);
  EXPECT_TRUE(verify().ok) << verify().problem;
  std::string id = id_of(1);
  tamper("UPDATE audit_events SET user_name = 'root' WHERE sequence = 1");
  expect_bad(1, id, "columns");
}

TEST_F(AuditLogTest, SurvivesBeingKilled) {
  close();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t child = ::fork();
  if (child == 0) {
    open();
    for (int i = 0;; ++i) {
      if (!log_->append(event())) ::_exit(1);
      (void)!::write(ready[1], "x", 1);
    }
  }
  std::size_t acknowledged = 0;
  std::array<char, 64> buffer;
  while (acknowledged < 50) acknowledged += static_cast<std::size_t>(::read(ready[0], buffer.data(), buffer.size()));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[1]);
  for (ssize_t n; (n = ::read(ready[0], buffer.data(), buffer.size())) > 0;)
    acknowledged += static_cast<std::size_t>(n);
  ::close(ready[0]);
  open();
  EXPECT_GE(log_->last_sequence(), static_cast<std::int64_t>(acknowledged)) << "acknowledged is durable";
  append(3);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_TRUE(log_->list({.type = "audit.rolled_back"})->empty());
}

// Audit rows deleted, inserted, swapped, truncated, duplicated, edited or rolled back: the first bad one is named.

TEST_F(AuditLogTest, Deleted) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence = 4");
  expect_bad(4, "", "event 4 is missing");
}

TEST_F(AuditLogTest, DeletedFirst) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence <= 3");
  expect_bad(1, "", "events 1 to 3 are missing");
}

TEST_F(AuditLogTest, DeletedAndRenumbered) {
  append(10);
  std::string id = id_of(5);
  tamper(
      "DELETE FROM audit_events WHERE sequence = 4; UPDATE audit_events SET sequence = sequence - 1 WHERE sequence > 4;"
      " UPDATE audit_head SET sequence = 9");
  expect_bad(4, id, "were deleted");
}

TEST_F(AuditLogTest, Edited) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET json = replace(json, 'alice', 'bobby') WHERE sequence = 6");
  expect_bad(6, id, "was edited");
}

TEST_F(AuditLogTest, EditedLast) {
  append(10);
  std::string id = id_of(10);
  tamper("UPDATE audit_events SET json = replace(json, 'alice', 'bobby') WHERE sequence = 10");
  expect_bad(10, id, "was edited");
}

TEST_F(AuditLogTest, EditedHmac) {
  append(10);
  std::string id = id_of(2);
  tamper("UPDATE audit_events SET hmac = randomblob(32) WHERE sequence = 2");
  expect_bad(2, id, "was edited");
}

TEST_F(AuditLogTest, EditedColumnsThatSearchesGoBy) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET user_name = 'bob' WHERE sequence = 6");
  expect_bad(6, id, "columns");
}

TEST_F(AuditLogTest, NonsenseInColumns) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET hmac = X'', prev_hmac = X'00', json = '{{' WHERE sequence = 6");
  expect_bad(6, id, "was edited");
}

TEST_F(AuditLogTest, Swapped) {
  append(10);
  std::string id = id_of(5);
  tamper(
      "UPDATE audit_events SET sequence = -1 WHERE sequence = 4; UPDATE audit_events SET sequence = 4 WHERE sequence ="
      " 5; UPDATE audit_events SET sequence = 5 WHERE sequence = -1");
  expect_bad(4, id, "was swapped with event 5");
}

TEST_F(AuditLogTest, Moved) {
  append(10);
  std::string id = id_of(8);
  tamper(
      "UPDATE audit_events SET sequence = -1 WHERE sequence = 4; UPDATE audit_events SET sequence = 4 WHERE sequence ="
      " 8; UPDATE audit_events SET sequence = 8 WHERE sequence = -1");
  expect_bad(4, id, "was moved");
}

TEST_F(AuditLogTest, Duplicated) {
  append(10);
  tamper(std::string(kShiftUp) +
         "INSERT INTO audit_events SELECT 5, 'other', event_type, timestamp, user_name, session_id, json, key_id, "
         "prev_hmac,"
         " hmac FROM audit_events WHERE sequence = 3; UPDATE audit_head SET sequence = 11");
  expect_bad(5, "other", "is a duplicate of event 3");
}

TEST_F(AuditLogTest, Inserted) {
  append(10);
  tamper(std::string(kShiftUp) +
         "INSERT INTO audit_events SELECT 5, 'other', event_type, timestamp, 'eve', session_id, json || ' ', key_id, "
         "(SELECT"
         " hmac FROM audit_events WHERE sequence = 4), randomblob(32) FROM audit_events WHERE sequence = 3; UPDATE "
         "audit_head"
         " SET sequence = 11");
  expect_bad(5, "other", "was inserted");
}

TEST_F(AuditLogTest, InsertedBeforeTheFirst) {
  append(3);
  tamper(
      "INSERT INTO audit_events SELECT 0, 'other', event_type, timestamp, user_name, session_id, json, key_id,"
      " prev_hmac, hmac FROM audit_events WHERE sequence = 1");
  VerifyReport report = verify();
  EXPECT_EQ(report.first_bad_sequence, 0);
  EXPECT_EQ(report.first_bad_id, "other");
  EXPECT_FALSE(report.ok);
}

TEST_F(AuditLogTest, Truncated) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence > 7");
  expect_bad(8, "", "7");
}

TEST_F(AuditLogTest, TruncatedStaysVisibleWhenTheHubGoesOn) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence > 7");
  open();
  append(2);
  EXPECT_EQ(log_->last_sequence(), 12);
  expect_bad(8, "", "events 8 to 10 are missing");
}

TEST_F(AuditLogTest, TruncatedWithAForgedCheckpoint) {
  append(10);
  tamper(
      "DELETE FROM audit_events WHERE sequence > 7; UPDATE audit_head SET sequence = 7, hmac = (SELECT hmac FROM"
      " audit_events WHERE sequence = 7)");
  VerifyReport report = verify();  // the running hub knows what it wrote
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 8);
  open();  // and after a restart the file beside the database does
  auto noticed = log_->list({.type = "audit.rolled_back"}).value();
  ASSERT_EQ(noticed.size(), 1u);
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_written\":10"));
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_found\":7"));
}

TEST_F(AuditLogTest, RolledBackToASnapshotUnderARunningHub) {
  append(5);
  tamper("CREATE TABLE old_events AS SELECT * FROM audit_events; CREATE TABLE old_head AS SELECT * FROM audit_head");
  append(5);
  tamper(
      "DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM old_events; DELETE FROM audit_head; INSERT INTO"
      " audit_head SELECT * FROM old_head");
  VerifyReport report = verify();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 6);
  EXPECT_THAT(report.problem, HasSubstr("rolled back"));
  append(1);
  report = verify();
  EXPECT_EQ(report.first_bad_sequence, 6);
  EXPECT_THAT(report.problem, HasSubstr("events 6 to 10 are missing"));
}

TEST_F(AuditLogTest, AnOlderCopyOfTheDatabasePutInPlace) {
  append(5);
  ASSERT_EQ(shell("sqlite3 " + path_.string() + " \".backup '" + (folder_ / "copy.db").string() + "'\""), "");
  append(5);
  close();
  fs::copy_file(folder_ / "copy.db", path_, fs::copy_options::overwrite_existing);
  open();
  auto noticed = log_->list({.type = "audit.rolled_back"}).value();
  ASSERT_EQ(noticed.size(), 1u);
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_written\":10"));
  EXPECT_TRUE(verify().ok) << "a restored backup is a good log that says so";
  open();
  EXPECT_EQ(log_->list({.type = "audit.rolled_back"})->size(), 1u) << "once";
}

TEST_F(AuditLogTest, CheckpointChanged) {
  append(5);
  tamper("UPDATE audit_head SET seal = randomblob(32)");
  EXPECT_THAT(verify().problem, HasSubstr("was changed"));
  tamper("DELETE FROM audit_head");
  EXPECT_THAT(verify().problem, HasSubstr("was deleted"));
}

TEST_F(AuditLogTest, RowsInTheWayDoNotStopTheHub) {
  append(3);
  tamper(
      "INSERT INTO audit_events SELECT 4, 'in the way', event_type, timestamp, user_name, session_id, json, key_id,"
      " prev_hmac, hmac FROM audit_events WHERE sequence = 3");
  append(2);
  EXPECT_EQ(log_->last_sequence(), 6);
  EXPECT_EQ(verify().first_bad_id, "in the way");
}

// T34: the key is rotated and the previous one kept.
TEST_F(AuditLogTest, RotatedKey) {
  append(3);
  open("another key", {"the key"});
  EXPECT_TRUE(verify().ok) << verify().problem;
  append(3);
  open("a third", {"another key", "the key"});
  append(1);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_EQ(report.verified, 7);
  open("a third");
  report = verify();
  EXPECT_EQ(report.first_bad_sequence, 1);
  EXPECT_THAT(report.problem, HasSubstr("audit.previous_hmac_keys"));
}

TEST_F(AuditLogTest, WithoutAKey) {
  fs::remove(folder_ / "audit.head");
  open("");
  append(3);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_FALSE(report.keyed);
  EXPECT_EQ(report.unkeyed, 3);
  EXPECT_THAT(log_->list({})->at(0).json, HasSubstr("\"hmac_key_id\":\"none\""));
  // A key from now on.
  open("the key");
  append(2);
  report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_EQ(report.unkeyed, 3);
  EXPECT_EQ(report.verified, 5);
}

// Whoever has no key can still compute SHA-256: a plain chain behind keyed events is no good one.
TEST_F(AuditLogTest, DowngradeToAPlainChain) {
  append(3);
  open("");  // as if by somebody who starts his own hub on the file
  append(2);
  open("the key");
  VerifyReport report = verify();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 4);
  EXPECT_THAT(report.problem, HasSubstr("not protected by a key"));
}

}  // namespace
}  // namespace mezite::audit
