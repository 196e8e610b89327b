#include "agent/kernel/audit_records.hh"

#include <gtest/gtest.h>
#include <linux/audit.h>

namespace mezite::agent {
namespace {

using Kind = AuditEvent::Kind;

class AuditRecordsTest : public testing::Test {
 protected:
  std::string serial(int number) { return "audit(1764000000.123:" + std::to_string(number) + "): "; }
  std::string call(std::uint32_t number, std::string_view more, std::string_view ses = "7") {
    return "arch=" + hex(system_calls()[0].architecture) + " syscall=" + std::to_string(number) + " " +
           std::string(more) + " items=2 ppid=9 pid=10 auid=1000 uid=1001 gid=0 ses=" + std::string(ses) +
           " comm=\"sh\" exe=\"/usr/bin/dash\" key=\"mezite-1\"";
  }
  static std::string hex(std::uint32_t number) {
    char text[9];
    std::snprintf(text, sizeof text, "%x", number);
    return text;
  }
  std::optional<AuditEvent> end(int number) { return records_.take(AUDIT_EOE, serial(number)); }
  const SystemCalls& calls_ = system_calls()[0];
  AuditRecords records_;
};

TEST_F(AuditRecordsTest, ProgramsHaveTheirArgumentsWhateverIsInThem) {
  EXPECT_FALSE(records_.take(AUDIT_SYSCALL, serial(1) + call(calls_.execve, "success=yes exit=0 a0=1 a1=2 a2=3 a3=4")));
  EXPECT_FALSE(records_.take(AUDIT_EXECVE, serial(1) + R"(argc=4 a0="/tmp/s.sh" a1=6120623D31 a2=C3A9 a3="")"));
  EXPECT_FALSE(records_.take(AUDIT_PATH, serial(1) + R"(item=0 name="/tmp/s.sh" inode=1)"));
  EXPECT_FALSE(records_.take(AUDIT_PATH, serial(1) + R"(item=1 name="/lib64/ld.so" inode=2)"));
  const auto event = end(1);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::kProgram);
  EXPECT_EQ(event->path, "/tmp/s.sh") << "not its interpreter";
  EXPECT_EQ(event->arguments, std::string("/tmp/s.sh\0a b=1\0\xc3\xa9\0\0", 20));
  EXPECT_EQ(std::tuple(event->session, event->pid, event->ppid, event->uid), std::tuple(7u, 10u, 9u, 1001u));
  EXPECT_FALSE(end(1)) << "an event is told once";
}

TEST_F(AuditRecordsTest, LongArgumentsComeInPieces) {
  records_.take(AUDIT_SYSCALL, serial(1) + call(calls_.execve, "success=yes exit=0"));
  records_.take(AUDIT_EXECVE, serial(1) + R"(argc=3 a0="x" a1_len=6 a1[0]="abc")");
  records_.take(AUDIT_EXECVE, serial(1) + R"(a1[1]="def" a2="y")");
  auto event = end(1);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->arguments, std::string("x\0abcdef\0y\0", 11));
  EXPECT_FALSE(event->arguments_cut);
  records_.take(AUDIT_SYSCALL, serial(2) + call(calls_.execve, "success=yes exit=0"));
  records_.take(AUDIT_EXECVE, serial(2) + "argc=2 a0=\"x\" a1[0]=\"" + std::string(7000, 'a') + "\"");
  event = end(2);
  ASSERT_TRUE(event);
  EXPECT_TRUE(event->arguments_cut);
  EXPECT_EQ(event->arguments.size(), AuditRecords::kMaxArgumentBytes);
}

TEST_F(AuditRecordsTest, ProgramsThatCouldNotRunAreNotTold) {
  records_.take(AUDIT_SYSCALL, serial(1) + call(calls_.execve, "success=no exit=-2"));
  records_.take(AUDIT_EXECVE, serial(1) + R"(argc=1 a0="x")");
  EXPECT_FALSE(end(1));
}

TEST_F(AuditRecordsTest, ConnectionsAndTheirSockets) {
  records_.take(AUDIT_SYSCALL, serial(1) + call(calls_.socket, "success=yes exit=5 a0=2 a1=80801 a2=0 a3=0"));
  auto event = end(1);
  ASSERT_TRUE(event && event->kind == Kind::kSocket);
  EXPECT_EQ(std::tuple(event->descriptor, event->protocol), std::tuple(5u, 6u));
  records_.take(AUDIT_SYSCALL, serial(2) + call(calls_.connect, "success=no exit=-115 a0=5 a1=7ffd a2=10 a3=0"));
  records_.take(AUDIT_SOCKADDR, serial(2) + "saddr=020001BB7F0000010000000000000000");
  event = end(2);
  ASSERT_TRUE(event && event->kind == Kind::kConnection);
  EXPECT_EQ(std::tuple(event->address, event->port, event->descriptor), std::tuple("127.0.0.1", 443, 5u));
  EXPECT_EQ(event->program, "sh");
  records_.take(AUDIT_SYSCALL, serial(3) + call(calls_.sendto, "success=yes exit=1 a0=6"));
  records_.take(AUDIT_SOCKADDR, serial(3) + "saddr=0A00126700000000000000000000000000000000000000010000000000");
  event = end(3);
  ASSERT_TRUE(event);
  EXPECT_EQ(std::tuple(event->address, event->port), std::tuple("::1", 4711));
}

TEST_F(AuditRecordsTest, ExitsAndLogins) {
  records_.take(AUDIT_SYSCALL, serial(1) + call(calls_.exit_group, "a0=103 a1=0 a2=0 a3=0"));
  auto event = end(1);
  ASSERT_TRUE(event && event->kind == Kind::kExit);
  EXPECT_EQ(event->exit_code, 3u);
  event =
      records_.take(AUDIT_LOGIN, serial(2) + "pid=20 uid=0 old-auid=1000 auid=1001 tty=(none) old-ses=7 ses=8 res=1");
  ASSERT_TRUE(event && event->kind == Kind::kNewSession);
  EXPECT_EQ(std::tuple(event->session, event->new_session, event->pid), std::tuple(7u, 8u, 20u));
  EXPECT_FALSE(records_.take(AUDIT_LOGIN, serial(3) + "pid=20 uid=0 old-auid=1000 auid=1001 old-ses=7 ses=8 res=0"));
}

TEST_F(AuditRecordsTest, WhatIsNoRecordIsPassedOver) {
  for (const std::string_view text :
       {"", "audit(", "audit(1.2:3", "audit(1.2:x): a0=\"y\"", "audit):1(", "audit(1:99999999999999999999): "}) {
    for (const int type : {AUDIT_SYSCALL, AUDIT_EXECVE, AUDIT_SOCKADDR, AUDIT_PATH, AUDIT_LOGIN, AUDIT_EOE}) {
      EXPECT_FALSE(records_.take(static_cast<std::uint16_t>(type), text)) << text;
    }
  }
  // Of which the first record is missing, and of another architecture.
  records_.take(AUDIT_EXECVE, serial(4) + R"(argc=1 a0="x")");
  EXPECT_FALSE(end(4));
  records_.take(AUDIT_SYSCALL, serial(5) + "arch=1 syscall=59 success=yes ses=7 pid=1");
  EXPECT_FALSE(end(5));
  for (const std::string_view saddr : {"02", "0200", "020001BB7F00", "0A0012", "zz", "0100AA", ""}) {
    records_.take(AUDIT_SYSCALL, serial(6) + call(calls_.connect, "success=yes exit=0 a0=3"));
    records_.take(AUDIT_SOCKADDR, serial(6) + "saddr=" + std::string(saddr));
    EXPECT_FALSE(end(6)) << saddr;
  }
}

TEST_F(AuditRecordsTest, EventsThatNeverEndGiveWay) {
  const int most = static_cast<int>(AuditRecords::kMaxOpen);
  for (int i = 0; i <= most; ++i) records_.take(AUDIT_SYSCALL, serial(i) + call(calls_.exit_group, "a0=0"));
  EXPECT_FALSE(end(0));
  EXPECT_TRUE(end(1));
  EXPECT_TRUE(end(most));
}

}  // namespace
}  // namespace mezite::agent
