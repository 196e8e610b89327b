#include "agent/outbox/event_log.hh"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <atomic>
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

TEST(EventSender, TriesAgainAndSetsAsideWhatIsRefused) {
  ScratchFolder folder;
  auto log = EventLog::open(folder / "events");
  std::mutex mutex;
  std::vector<std::string> arrived;
  std::atomic<int> calls{0};
  EventSender sender(**log, [&](const std::vector<std::string>& lines) -> Status {
    if (++calls == 1) return fail(ErrorCode::kUnavailable, "no hub");
    for (const std::string& line : lines) {
      if (line.find("poison") != std::string::npos) return fail(ErrorCode::kInvalidArgument, "not an event");
    }
    std::lock_guard lock(mutex);
    for (const std::string& line : lines) arrived.push_back(audit::event_from_json(line)->user_name);
    return {};
  });
  ASSERT_TRUE((*log)->emit({event("a"), event("poison"), event("b")}));
  SteadyTime limit = system_clock().steady() + std::chrono::seconds(20);
  while ((*log)->size_bytes() > 0 && system_clock().steady() < limit) std::this_thread::yield();
  sender.stop();
  EXPECT_THAT(arrived, testing::ElementsAre("a", "b"));
  EXPECT_NE(slurp(folder / "events/aside.jsonl").find("poison"), std::string::npos);
}

}  // namespace
}  // namespace mezite::agent
