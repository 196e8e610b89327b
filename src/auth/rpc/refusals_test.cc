#include "auth/rpc/refusals.hh"

#include <gmock/gmock.h>

#include "auth/testing.hh"

namespace mezite::auth::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RefusalsTest : public testing::ServicesTest {
 protected:
  const Clock& clock() override { return clock_; }
  void SetUp() override {
    testing::ServicesTest::SetUp();
    refusals_ = std::make_unique<Refusals>(*services_);
  }
  void tell(std::string_view node, std::string_view ip = "192.0.2.7") {
    refusals_->tell(node, ip, {ErrorCode::kUnauthenticated, "this call was made already"});
  }
  std::vector<std::string> told() { return events("node.rejected"); }

  ManualClock clock_;
  std::unique_ptr<Refusals> refusals_;
};

TEST_F(RefusalsTest, SaysWhoAndWhy) {
  tell("node-1");
  ASSERT_THAT(told(), SizeIs(1));
  for (const char* part : {"node-1", "192.0.2.7", "made already", "sealed_call", "T1054W"}) {
    EXPECT_THAT(told()[0], HasSubstr(part));
  }
}

TEST_F(RefusalsTest, ACallerIsToldOfOnceAMinuteWithHowOften) {
  for (int i = 0; i < 1000; ++i) tell("node-1");
  tell("node-2");
  EXPECT_THAT(told(), SizeIs(2));
  clock_.advance(Refusals::kQuiet);
  tell("node-1");
  ASSERT_THAT(told(), SizeIs(3));
  EXPECT_THAT(told(), ::testing::Contains(HasSubstr("\"times\":1000")));
}

// A flood under ever new names must fill neither the log nor memory.
TEST_F(RefusalsTest, AFloodOfNames) {
  for (int i = 0; i < 5000; ++i) tell("node-" + std::to_string(i), "192.0.2." + std::to_string(i % 200));
  EXPECT_THAT(told(), SizeIs(Refusals::kMostSources + 1));
  clock_.advance(Refusals::kQuiet);
  // Those that were counted and not told of are told of together, by the next flood.
  for (int i = 0; i < 100; ++i) tell("other-" + std::to_string(i));
  EXPECT_LE(told().size(), 2 * (Refusals::kMostSources + 1));
  EXPECT_EQ(std::ranges::count_if(told(), [](const auto& one) { return one.contains("\"times\":4968"); }), 1);
}

TEST_F(RefusalsTest, AHubThatHasJustStartedAccusesNobody) {
  refusals_->tell("node-1", "192.0.2.7", {ErrorCode::kUnavailable, "the hub has just started"});
  EXPECT_THAT(told(), IsEmpty());
}

}  // namespace
}  // namespace mezite::auth::rpc
