// An audit log on a database file of its own, and ways to damage it. For tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "audit/audit_log.hh"
#include "store/schema.hh"

namespace mezite::audit {

inline std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

class AuditLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-audit-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ / "mezhub.db";
    open();
  }
  void TearDown() override {
    close();
    std::filesystem::remove_all(folder_);
  }
  void close() {
    log_.reset();
    db_.reset();
  }
  void open(std::string_view key = "the key", std::initializer_list<std::string_view> previous = {}) {
    close();
    db_ = store::Database::open({.path = path_, .migrations = store::schema()}).value();
    AuditLog::Options options{.cluster_name = "example", .hmac_key = Secret(key), .previous_hmac_keys = {}};
    for (std::string_view old : previous) options.previous_hmac_keys.emplace_back(old);
    auto opened = AuditLog::open(*db_, std::move(options), clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
  }
  Event event(EventKind kind = EventKind::kUserLogin, std::string user = "alice") {
    clock_.advance(std::chrono::seconds(1));
    Event made = make_event(kind, clock_);
    made.user_name = std::move(user);
    return made;
  }
  void append(int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(log_->append(event()));
  }
  VerifyReport verify() {
    auto report = log_->verify();
    EXPECT_TRUE(report) << report.error().message;
    return *report;
  }
  // As somebody with access to the file does it.
  void tamper(const std::string& sql) { ASSERT_EQ(shell("sqlite3 " + path_.string() + " \"" + sql + "\""), ""); }
  std::string id_of(int sequence) {
    std::string id = shell("sqlite3 " + path_.string() +
                           " \"SELECT id FROM audit_events WHERE sequence = " + std::to_string(sequence) + "\"");
    return id.substr(0, id.size() - 1);
  }
  void expect_bad(std::int64_t sequence, std::string_view id, std::string_view problem) {
    for (const char* when : {"running", "after a restart"}) {
      VerifyReport report = verify();
      EXPECT_FALSE(report.ok) << when;
      EXPECT_EQ(report.first_bad_sequence, sequence) << when << ": " << report.problem;
      EXPECT_EQ(report.first_bad_id, id) << when << ": " << report.problem;
      EXPECT_THAT(report.problem, ::testing::HasSubstr(std::string(problem))) << when;
      EXPECT_EQ(report.verified, sequence - 1) << when;
      open();
    }
  }
  static constexpr const char* kShiftUp =
      "UPDATE audit_events SET sequence = -sequence - 1 WHERE sequence >= 5; UPDATE audit_events SET sequence = "
      "-sequence"
      " WHERE sequence < 0; ";

  std::filesystem::path folder_, path_;
  ManualClock clock_;
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<AuditLog> log_;
};

}  // namespace mezite::audit
