#include "agent/kernel/session_events.hh"

#include <gtest/gtest.h>

namespace mezite::agent {
namespace {

using std::chrono::milliseconds;

class SessionEventsTest : public testing::Test {
 protected:
  SteadyTime at(std::int64_t ms) { return SteadyTime(milliseconds(1'000'000 + ms)); }
  ProgramRun program(std::uint32_t pid, std::string path = "/bin/ls") {
    return {.pid = pid, .ppid = 1, .uid = 1000, .path = std::move(path), .arguments = std::string("ls\0-l\0", 6)};
  }
  std::vector<audit::Event> collect(std::int64_t ms, SessionEvents::All all = SessionEvents::All::kNo) {
    std::vector<audit::Event> out;
    events_.collect(at(ms), all, out);
    return out;
  }
  bool says(const audit::Event& event, std::string_view text) { return event.details.find(text) != std::string::npos; }

  SessionEvents events_{{.make_event = [](audit::EventKind kind) { return audit::make_event(kind); }, .login = "root"}};
};

TEST_F(SessionEventsTest, ExitCodesAreJoinedAndWaitedForAtMostASecond) {
  events_.ran(program(10), at(0));
  events_.ran(program(11), at(1));
  EXPECT_TRUE(collect(2).empty());
  events_.exited(11, 3 << 8);
  EXPECT_TRUE(collect(3).empty()) << "the order is kept";
  events_.exited(10, 9);
  auto told = collect(4);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(says(told[0], R"("signal":9)")) << told[0].details;
  EXPECT_TRUE(says(told[1], R"("exit_code":3)")) << told[1].details;
  EXPECT_TRUE(says(told[1], R"("arguments":["ls","-l"])")) << told[1].details;
  events_.ran(program(12), at(5));
  EXPECT_TRUE(collect(1004).empty());
  told = collect(1005);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_FALSE(says(told[0], "exit_code"));
  events_.exited(12, 0);
  EXPECT_TRUE(collect(9000).empty());
}

TEST_F(SessionEventsTest, AProcessThatBecomesAnotherProgramEndsOnce) {
  events_.ran(program(10, "/bin/sh"), at(0));
  events_.ran(program(10, "/bin/ls"), at(1));
  events_.exited(10, 0);
  auto told = collect(2000);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_FALSE(says(told[0], "exit_code"));
  EXPECT_TRUE(says(told[1], R"("exit_code":0)"));
}

TEST_F(SessionEventsTest, RepeatedConnectionsAreCounted) {
  const SeenConnection one{.pid = 5, .uid = 0, .address = "::1", .port = 443, .protocol = 6, .program = "curl"};
  for (int i = 0; i < 1000; ++i) events_.connected(one, at(0));
  auto told = collect(1000);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(says(told[0], R"("times":1000)") && says(told[0], R"("protocol":"tcp")")) << told[0].details;
}

TEST_F(SessionEventsTest, WhatIsOverTheRateIsCounted) {
  for (std::uint32_t i = 0; i < kMaxProgramsPerSecond + 30; ++i) events_.ran(program(i), at(0));
  for (std::uint16_t i = 0; i < kMaxConnectionsPerSecond + 7; ++i) {
    events_.connected({.pid = 1, .address = "10.0.0.1", .port = i, .protocol = 17, .program = "nmap"}, at(0));
  }
  events_.lost(5, 6);
  auto told = collect(1000);
  ASSERT_EQ(told.size(), kMaxProgramsPerSecond + kMaxConnectionsPerSecond + 1);
  EXPECT_EQ(told.back().event_type, "session.tracing.lost");
  EXPECT_TRUE(says(told.back(), R"("commands":35)") && says(told.back(), R"("connections":13)")) << told.back().details;
  events_.ran(program(1), at(1001));
  EXPECT_EQ(collect(1002, SessionEvents::All::kYes).size(), 1u) << "the next second is another one";
}

}  // namespace
}  // namespace mezite::agent
