#include "auth/use/audit_metrics.hh"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <thread>

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
  // Until what the sinks do shows in the metrics.
  void await(std::string_view line) {
    SteadyTime limit = system_clock().steady() + std::chrono::seconds(20);
    while (audit_metrics(*services_).find(line) == std::string::npos && system_clock().steady() < limit) {
      std::this_thread::yield();
    }
    EXPECT_THAT(audit_metrics(*services_), HasSubstr(std::string(line)));
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
  await(fmt::format("mezite_audit_sink_delivered{{sink=\"file\"}} {}\n", services_->audit->last_sequence()));
  std::string text = audit_metrics(*services_);
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_waiting{sink=\"file\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_lag_seconds{sink=\"file\"} 0.000\n"));
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_failures{sink=\"file\"} 0\n"));
}

TEST_F(AuditMetricsTest, ASinkThatFails) {
  start(folder_.path() / "no such folder" / "audit.jsonl");
  await("mezite_audit_sink_failures{sink=\"file\"} 1\n");
  std::string text = audit_metrics(*services_);
  EXPECT_THAT(text, HasSubstr("mezite_audit_sink_delivered{sink=\"file\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("mezite_audit_sink_lag_seconds{sink=\"file\"} 0.000\n")));
}

}  // namespace
}  // namespace mezite::auth
