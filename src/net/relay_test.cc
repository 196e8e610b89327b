#include "net/relay.hh"

#include <gtest/gtest.h>

#include "net/testing.hh"

namespace mezite::net {
namespace {

using namespace std::chrono_literals;
using testing::Box;
using testing::RunningShard;
using testing::TcpPair;

class RelayTest : public ::testing::Test {
 protected:
  void start(RelayOptions options = {}) {
    shard_.call([&] {
      relay_ = Relay::start(*shard_, std::move(a_.left), std::move(b_.left), std::move(options),
                            [this](RelayEnd end) { ended_.put(std::move(end)); });
    });
  }
  void TearDown() override {
    shard_.call([&] { relay_.reset(); });
  }

  RunningShard shard_;
  TcpPair a_;
  TcpPair b_;
  std::unique_ptr<Relay> relay_;
  Box<RelayEnd> ended_;
};

TEST_F(RelayTest, CarriesBulkBothWaysUnchanged) {
  start();
  Bytes there = testing::pattern_bytes(20 << 20, 1);
  Bytes back = testing::pattern_bytes(20 << 20, 2);
  std::thread left([&] {
    testing::send_all(a_.right.get(), there);
    ::shutdown(a_.right.get(), SHUT_WR);
  });
  std::thread right([&] {
    testing::send_all(b_.right.get(), back);
    ::shutdown(b_.right.get(), SHUT_WR);
  });
  std::string got_back;
  std::thread reading([&] { got_back = testing::receive(a_.right.get()); });
  std::string got_there = testing::receive(b_.right.get());
  left.join();
  right.join();
  reading.join();
  EXPECT_TRUE(std::ranges::equal(as_bytes(got_there), there));
  EXPECT_TRUE(std::ranges::equal(as_bytes(got_back), back));
  auto end = ended_.take();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->status);
  EXPECT_EQ(end->a_to_b_bytes, there.size());
  EXPECT_EQ(end->b_to_a_bytes, back.size());
}

TEST_F(RelayTest, AHalfThatClosesLeavesTheOtherOpen) {
  start();
  testing::send_all(a_.right.get(), "question");
  ::shutdown(a_.right.get(), SHUT_WR);
  EXPECT_EQ(testing::receive(b_.right.get()), "question");
  EXPECT_FALSE(ended_.full());
  testing::send_all(b_.right.get(), "answer");
  EXPECT_EQ(testing::receive(a_.right.get(), 6), "answer");
  b_.right.reset();
  EXPECT_EQ(testing::receive(a_.right.get()), "");
  ASSERT_TRUE(ended_.take()->status);
}

TEST_F(RelayTest, BytesReadBeforeComeFirst) {
  start({.first_to_b = to_bytes("SSH-2.0-"), .first_to_a = testing::pattern_bytes(2 << 20)});
  testing::send_all(a_.right.get(), "client");
  EXPECT_EQ(testing::receive(b_.right.get(), 14), "SSH-2.0-client");
  EXPECT_TRUE(std::ranges::equal(as_bytes(testing::receive(a_.right.get(), 2 << 20)), testing::pattern_bytes(2 << 20)));
}

TEST_F(RelayTest, APeerThatStopsReadingHoldsTheOtherBack) {
  start();
  // The sender sees back-pressure: what fits in between is the pipe and the sockets' buffers, not all memory.
  std::size_t sent = 0;
  Bytes chunk(1 << 20);
  timeval patience{0, 500'000};
  ::setsockopt(a_.right.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  for (;;) {
    ssize_t n = ::send(a_.right.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
    ASSERT_LT(sent, 64u << 20);
  }
  EXPECT_EQ(testing::receive(b_.right.get(), sent).size(), sent) << "and goes on when it reads again";
  testing::send_all(b_.right.get(), "still there");
  EXPECT_EQ(testing::receive(a_.right.get(), 11), "still there");
}

TEST_F(RelayTest, AResetEndsBothSides) {
  start();
  testing::send_all(a_.right.get(), "x");
  EXPECT_EQ(testing::receive(b_.right.get(), 1), "x");
  testing::reset_on_close(a_.right.get());
  a_.right.reset();
  EXPECT_EQ(testing::receive(b_.right.get()), "");
  b_.right.reset();
  auto end = ended_.take();
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->status);
}

TEST_F(RelayTest, AResetWhileTheOtherSideIsBlockedEndsToo) {
  start({.idle_timeout = 10s});
  std::thread flood([&] {
    Bytes chunk(1 << 20);
    for (int i = 0; i < 64; ++i) testing::send_all(a_.right.get(), chunk);
  });
  testing::receive(b_.right.get(), 1 << 20);
  testing::reset_on_close(b_.right.get());
  b_.right.reset();
  flood.join();
  a_.right.reset();
  auto end = ended_.take();
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->status);
}

TEST_F(RelayTest, StopsWithItsReason) {
  start();
  shard_.call([&] { relay_->stop({ErrorCode::kPermissionDenied, "locked"}); });
  auto end = ended_.take();
  ASSERT_TRUE(end && !end->status);
  EXPECT_EQ(end->status.error().message, "locked");
  EXPECT_EQ(testing::receive(a_.right.get()), "");
  EXPECT_EQ(testing::receive(b_.right.get()), "");
}

TEST_F(RelayTest, EndsWhenIdle) {
  start({.idle_timeout = 50ms});
  auto end = ended_.take();
  ASSERT_TRUE(end && !end->status);
  EXPECT_EQ(end->status.error().code, ErrorCode::kTimeout);
}

TEST_F(RelayTest, ManySmallMessagesFillThePipesSlotsWithoutAStall) {
  start({.pipe_bytes = 4096});
  std::thread sender([&] {
    for (int i = 0; i < 20000; ++i) testing::send_all(a_.right.get(), "0123456789");
    ::shutdown(a_.right.get(), SHUT_WR);
  });
  EXPECT_EQ(testing::receive(b_.right.get()).size(), 200000u);
  sender.join();
}

}  // namespace
}  // namespace mezite::net
