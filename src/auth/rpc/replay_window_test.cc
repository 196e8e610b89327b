#include "auth/rpc/replay_window.hh"

#include <gtest/gtest.h>

namespace mezite::auth::rpc {
namespace {

using namespace std::chrono_literals;

class ReplayWindowTest : public ::testing::Test {
 protected:
  ErrorCode take(std::string_view nonce, std::chrono::nanoseconds age = 0s, std::string_view node = "n1") {
    Status taken = window_.take(node, nonce, clock_.now() - std::chrono::duration_cast<SystemTime::duration>(age));
    return taken ? ErrorCode{} : taken.error().code;
  }
  ManualClock clock_;
  ReplayWindow window_{clock_};
};

TEST_F(ReplayWindowTest, ACallCountsOnce) {
  clock_.advance(10min);
  EXPECT_TRUE(window_.take("n1", "a", clock_.now()));
  EXPECT_EQ(take("a"), ErrorCode::kUnauthenticated);
  EXPECT_TRUE(window_.take("n1", "b", clock_.now()));
  EXPECT_TRUE(window_.take("n2", "a", clock_.now())) << "each node has nonces of its own";
}

TEST_F(ReplayWindowTest, TimesThatAreTooFarOff) {
  clock_.advance(10min);
  EXPECT_TRUE(window_.take("n1", "a", clock_.now() - kClockSkew));
  EXPECT_TRUE(window_.take("n1", "b", clock_.now() + kClockSkew));
  EXPECT_EQ(take("c", kClockSkew + 1ms), ErrorCode::kUnauthenticated);
  EXPECT_EQ(take("d", -kClockSkew - 1ms), ErrorCode::kUnauthenticated);
  Status behind = window_.take("n1", "e", clock_.now() - 1h);
  ASSERT_FALSE(behind);
  EXPECT_NE(behind.error().message.find("behind"), std::string::npos);
  EXPECT_NE(behind.error().message.find("NTP"), std::string::npos);
  EXPECT_NE(window_.take("n1", "f", clock_.now() + 1h).error().message.find("ahead of"), std::string::npos);
}

// What another hub may have taken.
TEST_F(ReplayWindowTest, NothingFromBeforeTheHubBegan) {
  EXPECT_EQ(take("a", 1ms), ErrorCode::kUnavailable);
  EXPECT_TRUE(window_.take("n1", "a", clock_.now()));
}

// A call from the future stays young for longer than one from now: its nonce must be known for as long.
TEST_F(ReplayWindowTest, ANonceIsKnownForAsLongAsItsCallIsYoung) {
  clock_.advance(10min);
  const SystemTime made = clock_.now() + kClockSkew;
  EXPECT_TRUE(window_.take("n1", "a", made));
  for (auto passed = 0s; passed < 2 * kClockSkew; passed += 10s) {
    EXPECT_FALSE(window_.take("n1", "a", made)) << passed.count();
    clock_.advance(10s);
  }
  EXPECT_FALSE(window_.take("n1", "a", made));
}

// The bound, and that what is over makes room.
TEST_F(ReplayWindowTest, ANodeThatCallsWithoutEnd) {
  clock_.advance(10min);
  for (std::size_t i = 0; i < ReplayWindow::kMostPerNode; ++i) {
    ASSERT_TRUE(window_.take("n1", std::to_string(i), clock_.now()));
  }
  EXPECT_EQ(take("one more"), ErrorCode::kResourceExhausted);
  EXPECT_TRUE(window_.take("n2", "a", clock_.now())) << "it is that node's bound";
  clock_.advance(2 * kClockSkew + 1s);
  EXPECT_TRUE(window_.take("n1", "one more", clock_.now()));
}

// A clock that is set back: nothing is taken twice.
TEST_F(ReplayWindowTest, AClockThatIsSetBack) {
  clock_.advance(10min);
  const SystemTime made = clock_.now();
  EXPECT_TRUE(window_.take("n1", "a", made));
  clock_.step_wall(-30s);
  EXPECT_FALSE(window_.take("n1", "a", made));
}

}  // namespace
}  // namespace mezite::auth::rpc
