#include "audit/audit_log.hh"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "audit/testing.hh"
#include "base/id.hh"

namespace mezite::audit {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

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

}  // namespace
}  // namespace mezite::audit
