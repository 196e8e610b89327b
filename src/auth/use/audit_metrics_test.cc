#include "auth/use/audit_metrics.hh"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "auth/testing.hh"

namespace mezite::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AuditMetricsTest : public testing::ServicesTest {
 protected:
  void SetUp() override {}
  void start(const std::filesystem::path& sink) {
    Config config = make_config();
    config.audit.sink_file_path = sink;
    auto opened = Services::open(std::move(config), clock(), crypto::kCheapArgon2, crypto::kCheapArgon2);
    ASSERT_TRUE(opened) << opened.error().message;
    services_ = std::move(*opened);
  }
};

TEST_F(AuditMetricsTest, WithoutSinksTheLogAlone) {
  start("");
  std::string text = audit_metrics(*services_);
  EXPECT_THAT(text, HasSubstr(fmt::format("\nmezite_audit_events {}\n", services_->audit->last_sequence())));
  EXPECT_THAT(text, Not(HasSubstr("sink")));
}

TEST_F(AuditMetricsTest, ASinkThatKeepsUp) {
  start(folder_.path() / "audit.jsonl");
  const std::int64_t last = services_->audit->last_sequence();
  ASSERT_TRUE(services_->audit_sinks->await_delivered(last, std::chrono::seconds(20)));
  std::string text = audit_metrics(*services_);
  EXPECT_THAT(text, HasSubstr(fmt::format("mezite_audit_sink_delivered{{sink=\"file\"}} {}\n", last)));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_waiting{sink=\"file\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_lag_seconds{sink=\"file\"} 0.000\n"));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_failures{sink=\"file\"} 0\n"));
}

TEST_F(AuditMetricsTest, ASinkThatFails) {
  start(folder_.path() / "no such folder" / "audit.jsonl");
  std::int64_t last = services_->audit->last_sequence();
  const SteadyTime limit = system_clock().steady() + std::chrono::seconds(20);
  while (services_->audit->list({.type = "audit.sink.failed"})->empty() && system_clock().steady() < limit) {
    last = services_->audit->await_beyond(last, std::chrono::seconds(1));
  }
  std::string text = audit_metrics(*services_);
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_failures{sink=\"file\"} "));
  EXPECT_THAT(text, Not(HasSubstr("mezite_audit_sink_failures{sink=\"file\"} 0\n")));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_delivered{sink=\"file\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("mezite_audit_sink_lag_seconds{sink=\"file\"} 0.000\n")));
}

}  // namespace
}  // namespace mezite::auth
