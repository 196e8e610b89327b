// Challenges, and what is refused before AWS is asked.
#include "auth/use/iam_join.hh"

#include <gmock/gmock.h>

#include "auth/testing.hh"

namespace mezite::auth {
namespace {

using ::testing::HasSubstr;

TEST(Challenges, EachWorksOnce) {
  ManualClock clock;
  Challenges challenges(clock);
  auto first = challenges.issue();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 43u);
  EXPECT_NE(*first, *challenges.issue());
  EXPECT_TRUE(challenges.spend(*first));
  Status again = challenges.spend(*first);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("used already"));
  EXPECT_FALSE(challenges.spend(""));
  EXPECT_FALSE(challenges.spend(std::string(43, 'A')));
}

TEST(Challenges, AMinuteAndNoMore) {
  ManualClock clock;
  Challenges challenges(clock);
  auto kept = challenges.issue(), late = challenges.issue();
  ASSERT_TRUE(kept && late);
  clock.advance(kChallengeLife - std::chrono::milliseconds(1));
  EXPECT_TRUE(challenges.spend(*kept));
  clock.advance(std::chrono::milliseconds(1));
  Status expired = challenges.spend(*late);
  ASSERT_FALSE(expired);
  EXPECT_THAT(expired.error().message, HasSubstr("expired"));
}

TEST(Challenges, AreBounded) {
  ManualClock clock;
  Challenges challenges(clock);
  for (std::size_t i = 0; i < Challenges::kMost; ++i) ASSERT_TRUE(challenges.issue());
  auto full = challenges.issue();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kResourceExhausted);
  clock.advance(kChallengeLife);
  EXPECT_TRUE(challenges.issue());
}

class IamConfig : public testing::ServicesTest {};

TEST_F(IamConfig, IsCheckedAtStart) {
  Config config = make_config();
  EXPECT_TRUE(IamJoins::check_config(config));
  config.auth.sts_endpoint = "https://sts.amazonaws.com/path";
  EXPECT_FALSE(IamJoins::check_config(config));
  config.auth.sts_endpoint = "https://sts.eu-central-1.amazonaws.com";
  config.auth.sts_region = "eu central";
  Status refused = IamJoins::check_config(config);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("auth.iam.sts_region"));
}

}  // namespace
}  // namespace mezite::auth
