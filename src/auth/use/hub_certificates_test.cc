#include "auth/use/hub_certificates.hh"

#include <gtest/gtest.h>

#include <deque>

namespace mezite::auth {
namespace {

using namespace std::chrono_literals;

class HubCertificatesTest : public ::testing::Test {
 protected:
  Result<HubCertificate> issue() {
    ++issued_;
    if (fails_) return fail(ErrorCode::kTimeout, "KMS is away");
    return HubCertificate{.identity = {{}, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value()},
                          .client_roots = {},
                          .revision = issued_for_.value_or(revision_),
                          .renew_at = clock_.now() + 12h,
                          .expires_at = clock_.now() + 24h};
  }
  void run_background() {
    while (!tasks_.empty()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  std::shared_ptr<const HubCertificate> get() {
    auto got = certificates_.get();
    EXPECT_TRUE(got);
    return got ? *got : nullptr;
  }

  ManualClock clock_;
  std::int64_t revision_ = 7;
  std::optional<std::int64_t> issued_for_;
  bool fails_ = false, is_busy_ = false;
  int issued_ = 0;
  std::deque<std::move_only_function<void()>> tasks_;
  HubCertificates certificates_{[this] { return issue(); },
                                [this](auto task) {
                                  if (!is_busy_) tasks_.push_back(std::move(task));
                                  return !is_busy_;
                                },
                                [this] { return revision_; }, clock_};
};

TEST_F(HubCertificatesTest, OneForAll) {
  auto first = get();
  EXPECT_EQ(get(), first);
  EXPECT_EQ(issued_, 1);
  EXPECT_TRUE(tasks_.empty());
}

// Handshakes waited for a KMS, on the thread that makes them.
TEST_F(HubCertificatesTest, OneThatIsDueIsShownUntilTheNextIsThere) {
  auto first = get();
  clock_.advance(12h);
  EXPECT_EQ(get(), first);
  EXPECT_EQ(get(), first);
  EXPECT_EQ(issued_, 1) << "nobody waits";
  EXPECT_EQ(tasks_.size(), 1u) << "one renewal";
  run_background();
  auto second = get();
  EXPECT_NE(second, first);
  EXPECT_EQ(get(), second);
  EXPECT_EQ(issued_, 2);
}

TEST_F(HubCertificatesTest, AKmsThatIsAwayIsAskedAgainAfterAPause) {
  auto first = get();
  clock_.advance(13h);
  fails_ = true;
  EXPECT_EQ(get(), first);
  run_background();
  EXPECT_EQ(get(), first);
  EXPECT_TRUE(tasks_.empty()) << "not at every handshake";
  clock_.advance(HubCertificates::kPauseAfterFailure);
  EXPECT_EQ(get(), first);
  fails_ = false;
  run_background();
  EXPECT_NE(get(), first);
}

TEST_F(HubCertificatesTest, BusyWorkersAreAskedAgainAtOnce) {
  auto first = get();
  clock_.advance(12h);
  is_busy_ = true;
  EXPECT_EQ(get(), first);
  is_busy_ = false;
  EXPECT_EQ(get(), first);
  EXPECT_EQ(tasks_.size(), 1u);
}

TEST_F(HubCertificatesTest, ANewKeyOfTheHostCaIsWaitedFor) {
  auto first = get();
  ++revision_;
  auto second = get();
  EXPECT_NE(second, first);
  EXPECT_EQ(second->revision, 8);
  EXPECT_TRUE(tasks_.empty());
  fails_ = true;
  ++revision_;
  EXPECT_FALSE(certificates_.get());
}

// A renewal that began before a key of the CA changed would bring a certificate of the old one.
TEST_F(HubCertificatesTest, ARenewalThatARotationOvertakesCountsNothing) {
  auto first = get();
  clock_.advance(12h);
  EXPECT_EQ(get(), first);
  ++revision_;
  auto second = get();
  issued_for_ = 7;
  run_background();
  EXPECT_EQ(get(), second);
}

TEST_F(HubCertificatesTest, OneThatHasEndedIsNotShown) {
  auto first = get();
  clock_.advance(24h);
  EXPECT_NE(get(), first);
  clock_.advance(24h);
  fails_ = true;
  EXPECT_FALSE(certificates_.get());
}

}  // namespace
}  // namespace mezite::auth
