#include "agent/outbox/event_log.hh"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "agent/outbox/senders.hh"
#include "agent/testing.hh"

namespace mezite::agent {
namespace {

audit::Event event(std::string name) {
  audit::Event made = audit::make_event(audit::EventKind::kSessionStart);
  made.user_name = std::move(name);
  return made;
}

std::vector<std::string> names(const EventLog::Batch& batch) {
  std::vector<std::string> users;
  for (const std::string& line : batch.lines) {
    Result<audit::Event> parsed = audit::event_from_json(line);
    EXPECT_TRUE(parsed) << line;
    if (parsed) users.push_back(parsed->user_name);
  }
  return users;
}

TEST(EventLog, KeepsEventsInOrderUntilAcknowledged) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_TRUE((*log)->emit({event("a"), event("b")}));
  ASSERT_TRUE((*log)->emit({event("c")}));
  EXPECT_THAT(names((*log)->next(2).value()), testing::ElementsAre("a", "b"));
  EventLog::Batch batch = (*log)->next(2).value();
  EXPECT_THAT(names(batch), testing::ElementsAre("a", "b"));
  (*log)->acknowledge(batch);
  EXPECT_THAT(names((*log)->next().value()), testing::ElementsAre("c"));
  EXPECT_GT((*log)->size_bytes(), 0u);
  (*log)->acknowledge((*log)->next().value());
  EXPECT_TRUE((*log)->next()->lines.empty());
  EXPECT_EQ((*log)->size_bytes(), 0u);
}

TEST(EventLog, SurvivesTheProcessAndATornLine) {
  ScratchFolder folder;
  {
    auto log = EventLog::open(folder / "events");
    ASSERT_TRUE((*log)->emit({event("a"), event("b")}));
  }
  std::filesystem::path segment = folder / "events/000000000001.jsonl";
  {
    UniqueFd fd(::open(segment.c_str(), O_WRONLY | O_APPEND));
    ASSERT_TRUE(write_all(fd.get(), as_bytes("{\"half a line")));
  }
  auto log = EventLog::open(folder / "events");
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_TRUE((*log)->emit({event("c")}));
  std::vector<std::string> seen;
  for (;;) {
    EventLog::Batch batch = (*log)->next().value();
    if (batch.lines.empty()) break;
    for (std::string& name : names(batch)) seen.push_back(name);
    (*log)->acknowledge(batch);
  }
  EXPECT_THAT(seen, testing::ElementsAre("a", "b", "c"));
  EXPECT_FALSE(std::filesystem::exists(segment)) << "what is acknowledged does not stay on the disk";
}

TEST(EventLog, SegmentsAreBoundedAndGo) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  std::string padding(2000, 'x');
  for (int i = 0; i < 400; ++i) ASSERT_TRUE((*log)->emit({event(padding)}));
  auto files = [&] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder / "events")) ++count;
    return count;
  };
  EXPECT_GE(files(), 3u);
  std::size_t total = 0;
  for (;;) {
    EventLog::Batch batch = (*log)->next().value();
    if (batch.lines.empty()) break;
    total += batch.lines.size();
    (*log)->acknowledge(batch);
  }
  EXPECT_EQ(total, 400u);
  EXPECT_LE(files(), 1u);
}

TEST(EventLog, ManyThreadsAtOnceLoseNothing) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE((*log)->emit({event(std::to_string(t * 50 + i))}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> seen;
  for (;;) {
    EventLog::Batch batch = (*log)->next().value();
    if (batch.lines.empty()) break;
    for (std::string& name : names(batch)) seen.insert(name);
    (*log)->acknowledge(batch);
  }
  EXPECT_EQ(seen.size(), 200u);
}

TEST(EventLog, WhatTheDiskDoesNotTakeIsSentFromMemory) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events", 100);  // less than an event
  Status kept = (*log)->emit({event("a")});
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, ErrorCode::kResourceExhausted);
  EventLog::Batch batch = (*log)->next().value();
  EXPECT_THAT(names(batch), testing::ElementsAre("a"));
  (*log)->acknowledge(batch);
  EXPECT_TRUE((*log)->next()->lines.empty());
}

audit::Event report() { return audit::make_event(audit::EventKind::kAuditEventRefused); }

// A hub in memory, which refuses what has "poison" in it.
struct Hub {
  enum class Way { kNamesTheEvent, kRefusesTheCall };
  Way way = Way::kNamesTheEvent;
  std::mutex mutex;
  std::vector<std::string> arrived, reports;
  std::atomic<int> calls{0};

  Result<std::vector<RefusedEvent>> operator()(const std::vector<std::string>& lines) {
    if (++calls == 1) return fail(ErrorCode::kUnavailable, "no hub");
    std::vector<RefusedEvent> refused;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].find(R"("user_name":"poison)") != std::string::npos)
        refused.push_back({.index = i, .problem = "not an event"});
    }
    if (way == Way::kRefusesTheCall && !refused.empty()) return fail(ErrorCode::kInvalidArgument, "not an event");
    std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (std::ranges::find(refused, i, &RefusedEvent::index) != refused.end()) continue;
      auto event = audit::event_from_json(lines[i]);
      if (!event) return fail(ErrorCode::kUnavailable, "what a hub never gets");
      (event->event_type == "audit.event.refused" ? reports : arrived)
          .push_back(event->event_type == "audit.event.refused" ? event->details : event->user_name);
    }
    return refused;
  }
};

// Sends what is in the log: the hub is away for the first call, and from the second on the sender empties the log
// before it stops.
class Sending {
 public:
  Sending(EventLog& log, Hub& hub) : log_(log), sender_(log, std::ref(hub), report, [this] { recovered_.release(); }) {}
  void await_recovery() { ASSERT_TRUE(recovered_.try_acquire_for(std::chrono::seconds(20))); }
  void finish() {
    sender_.stop(std::chrono::seconds(20));
    EXPECT_EQ(log_.size_bytes(), 0u);
  }

 private:
  EventLog& log_;
  std::counting_semaphore<> recovered_{0};
  EventSender sender_;
};

TEST(EventSender, TriesAgainAndSetsAsideWhatIsRefused) {
  for (Hub::Way way : {Hub::Way::kNamesTheEvent, Hub::Way::kRefusesTheCall}) {
    ScratchFolder folder;
    auto log = EventLog::open(folder / "events");
    Hub hub{.way = way};
    Sending sending(**log, hub);
    ASSERT_TRUE((*log)->emit({event("a"), event("poison"), event("b")}));
    sending.await_recovery();
    sending.finish();
    EXPECT_THAT(hub.arrived, testing::ElementsAre("a", "b"));
    EXPECT_NE(slurp(folder / "events/aside.jsonl").find("poison"), std::string::npos);
    // A hub that names the event has told of it itself.
    EXPECT_EQ(hub.reports.size(), way == Hub::Way::kRefusesTheCall ? 1u : 0u);
  }
}

// A line that was damaged on the disk, one that is no UTF-8 (which gRPC can't carry), and one that is over every limit.
TEST(EventSender, DamageInASegmentHoldsUpNothing) {
  ScratchFolder folder;
  {
    auto log = EventLog::open(folder / "events");
    ASSERT_TRUE((*log)->emit({event("a")}));
  }
  {
    UniqueFd fd(::open((folder / "events/000000000001.jsonl").c_str(), O_WRONLY | O_APPEND));
    std::string junk = "\xff\xfe\n" + std::string(3 * EventLog::kMaxBatchBytes, 'x') + "\n" +
                       audit::to_canonical_json(event("b")) + "\n";
    ASSERT_TRUE(write_all(fd.get(), as_bytes(junk)));
  }
  auto log = EventLog::open(folder / "events");
  ASSERT_TRUE(log) << log.error().message;
  Hub hub;
  Sending sending(**log, hub);
  sending.await_recovery();
  sending.finish();
  EXPECT_THAT(hub.arrived, testing::ElementsAre("a", "b"));
  ASSERT_EQ(hub.reports.size(), 2u);
  EXPECT_NE(hub.reports[1].find(fmt::format("\"bytes\":{}", 3 * EventLog::kMaxBatchBytes)), std::string::npos);
  EXPECT_EQ(slurp(folder / "events/aside.jsonl").size(), 3 + 3 * EventLog::kMaxBatchBytes + 1);
}

TEST(EventSender, ASegmentThatCannotBeReadIsKeptAndPassedOver) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  ASSERT_TRUE((*log)->emit({event("lost")}));
  std::filesystem::path segment = folder / "events/000000000001.jsonl";
  std::filesystem::remove(segment);
  std::filesystem::create_directory(segment);  // reading it fails, whoever asks
  Hub hub;
  Sending sending(**log, hub);
  sending.await_recovery();  // the hub has taken the report
  EXPECT_TRUE(std::filesystem::exists(folder / "events/000000000001.kept"));
  ASSERT_TRUE((*log)->emit({event("a")}));
  sending.finish();
  EXPECT_THAT(hub.arrived, testing::ElementsAre("a"));
  EXPECT_EQ(hub.reports.size(), 1u);
}

// aside.jsonl can't be written: the segment stays, under another name.
TEST(EventSender, WhatCannotBeSetAsideStaysInItsSegment) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  std::filesystem::create_directory(folder / "events/aside.jsonl");
  ASSERT_TRUE((*log)->emit({event("a"), event("poison"), event("b")}));
  ASSERT_TRUE((*log)->emit({event("c")}));
  Hub hub;
  Sending sending(**log, hub);
  sending.await_recovery();
  sending.finish();
  EXPECT_EQ(hub.arrived.size(), 3u);
  log->reset();
  auto again = EventLog::open(folder / "events");
  std::string kept = slurp(folder / "events/000000000001.kept") + slurp(folder / "events/000000000001.jsonl");
  EXPECT_NE(kept.find("poison"), std::string::npos);
}

}  // namespace
}  // namespace mezite::agent
