// Receive windows: how they grow, and what bounds them.
#include <gtest/gtest.h>

#include <deque>

#include "ssh/connection/testing.hh"

namespace mezite::ssh::connection_testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
constexpr std::uint64_t kMiB = 1 << 20;

// A sender far away: it sends as fast as its line and its window let it; both directions take half a round trip.
struct FarSender {
  ConnectionTest& test;
  nanoseconds round_trip;
  std::uint64_t bytes_per_second;
  std::uint32_t channel = 0;
  std::uint64_t allowed = 2 * kMiB;
  std::uint64_t sent = 0;
  std::deque<std::pair<SteadyTime, std::uint32_t>> data_under_way = {}, grants_under_way = {};
  SteadyTime line_free_at{};

  // Until that much has come; returns how long it took.
  nanoseconds send(std::uint64_t bytes) {
    constexpr std::uint32_t kPiece = 32768;
    const Bytes piece(kPiece);
    const SteadyTime start = test.clock.steady();
    const std::uint64_t until = test.handler->received + bytes;
    line_free_at = std::max(line_free_at, start);
    while (test.handler->received < until) {
      const SteadyTime now = test.clock.steady();
      for (; !grants_under_way.empty() && grants_under_way.front().first <= now; grants_under_way.pop_front()) {
        allowed += grants_under_way.front().second;
      }
      line_free_at = std::max(line_free_at, now - round_trip / 200);  // a line that was idle has saved up nothing
      while (sent + kPiece <= allowed && line_free_at <= now) {
        line_free_at += nanoseconds(std::uint64_t{kPiece} * 1'000'000'000 / bytes_per_second);
        data_under_way.emplace_back(line_free_at + round_trip / 2, kPiece);
        sent += kPiece;
      }
      for (; !data_under_way.empty() && data_under_way.front().first <= now; data_under_way.pop_front()) {
        EXPECT_TRUE(test.say(wire::ChannelData{channel, piece}));
      }
      for (const Bytes& packet : std::exchange(test.transport.sent, {})) {
        const auto adjust = decode<wire::ChannelWindowAdjust>(packet);
        if (adjust) grants_under_way.emplace_back(now + round_trip / 2, adjust->bytes_to_add);
      }
      test.clock.advance(round_trip / 200);
    }
    return test.clock.steady() - start;
  }
};

struct Window : ConnectionTest {
  std::uint64_t growth() const { return budget.used(); }
  // The session's number at our end is 0.
  void start(ConnectionLimits limits = {}) {
    limits.window_budget = &budget;
    make(Role::kServer, limits);
    open_session();
  }
  WindowBudget budget{256 * kMiB};
};

TEST_F(Window, GrowsToTwiceTheBandwidthDelayProduct) {
  start();
  // 100 MB/s over 100 ms: 10 MB under way; 2 MiB would allow a fifth of the line.
  FarSender sender{*this, milliseconds(100), 100'000'000};
  sender.send(100 * kMiB);
  EXPECT_GE(2 * kMiB + growth(), 14'000'000u);
  EXPECT_LE(2 * kMiB + growth(), 26'000'000u);
  // Line speed from here on.
  const double took = std::chrono::duration<double>(sender.send(200 * kMiB)).count();
  EXPECT_LT(took, 1.1 * 200 * 1.048576 / 100);
}

TEST_F(Window, StaysWhereTheLineIsTheLimit) {
  start();
  FarSender sender{*this, milliseconds(10), 50'000'000};  // half a megabyte under way
  sender.send(100 * kMiB);
  EXPECT_LE(growth(), 2 * kMiB + kMiB / 2);  // the first measure of the round trip is a window's worth too long
}

TEST_F(Window, StaysWhereTheReaderIsTheLimit) {
  start();
  handler->consume = false;
  std::uint64_t backlog = 0;
  handler->when_data = [&] {
    backlog += 32768;
    if (backlog < 3 * kMiB / 2) return;
    handler->channel.consumed(32768);  // always three quarters behind
    backlog -= 32768;
  };
  FarSender sender{*this, milliseconds(100), 1'000'000'000};
  sender.send(50 * kMiB);
  EXPECT_EQ(growth(), 0u);
}

TEST_F(Window, OneChannelIsBounded) {
  start({.max_window_bytes = 4 << 20});
  FarSender sender{*this, milliseconds(200), 1'000'000'000};
  sender.send(200 * kMiB);
  EXPECT_EQ(growth(), 2 * kMiB);
}

TEST_F(Window, AConnectionIsBounded) {
  start({.max_window_growth_bytes = 5 << 20});
  for (std::uint32_t i = 0; i < 4; ++i) {
    handler = std::make_shared<Handler>();
    ASSERT_TRUE(say(wire::ChannelOpen{"session", 8 + i, 1 << 20, 32768, {}}));
    transport.sent.clear();
    FarSender sender{*this, milliseconds(200), 1'000'000'000, 1 + i};
    sender.send(100 * kMiB);
  }
  EXPECT_EQ(growth(), 5 * kMiB);
}

TEST_F(Window, AllConnectionsTogetherAreBounded) {
  std::vector<std::shared_ptr<ConnectionCore>> all;
  for (int i = 0; i < 12; ++i) {
    handler = std::make_shared<Handler>();
    start();
    FarSender sender{*this, milliseconds(200), 1'000'000'000};
    sender.send(150 * kMiB);
    all.push_back(connection);
    EXPECT_LE(growth(), 256 * kMiB);
  }
  EXPECT_EQ(growth(), 256 * kMiB);
  for (const auto& one : all) one->end();
  EXPECT_EQ(growth(), 0u);
}

TEST_F(Window, AChannelThatClosesGivesBack) {
  start();
  FarSender sender{*this, milliseconds(200), 1'000'000'000};
  sender.send(100 * kMiB);
  EXPECT_GT(growth(), 0u);
  ASSERT_TRUE(say(wire::ChannelClose{0}));
  EXPECT_EQ(growth(), 0u);
}

TEST_F(Window, AChannelThatBecomesSlowGivesBack) {
  start();
  FarSender fast{*this, milliseconds(100), 200'000'000};
  fast.send(100 * kMiB);
  const std::uint64_t before = growth();
  ASSERT_GT(before, 8 * kMiB);
  const Bytes piece(32768);
  for (int i = 0; i < 4000; ++i) {
    clock.advance(milliseconds(500));
    ASSERT_TRUE(say(wire::ChannelData{0, piece}));
  }
  EXPECT_LT(growth(), before / 2);
}

TEST_F(Window, NeverOverWhatWasPromised) {
  start();
  FarSender sender{*this, milliseconds(100), 200'000'000};
  sender.send(100 * kMiB);
  // The sender counts as RFC 4254 §5.2 says; a byte past that ends the connection.
  sender.send(kMiB);
  for (; !sender.grants_under_way.empty(); sender.grants_under_way.pop_front()) {
    sender.allowed += sender.grants_under_way.front().second;
  }
  for (; !sender.data_under_way.empty(); sender.data_under_way.pop_front()) {
    ASSERT_TRUE(say(wire::ChannelData{0, Bytes(32768)}));
  }
  for (const Bytes& packet : std::exchange(transport.sent, {})) {
    sender.allowed += decode<wire::ChannelWindowAdjust>(packet)->bytes_to_add;
  }
  handler->consume = false;
  while (sender.sent < sender.allowed) {
    const std::uint64_t size = std::min<std::uint64_t>(32768, sender.allowed - sender.sent);
    ASSERT_TRUE(say(wire::ChannelData{0, Bytes(size)}));
    sender.sent += size;
  }
  EXPECT_FALSE(say(wire::ChannelData{0, Bytes(1)}));
}

}  // namespace
}  // namespace mezite::ssh::connection_testing
