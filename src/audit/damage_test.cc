#include <thread>

#include "audit/testing.hh"
#include "base/id.hh"

namespace mezite::audit {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Audit rows deleted, inserted, swapped, truncated, duplicated, edited or rolled back: the first bad one is named.

TEST_F(AuditLogTest, Deleted) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence = 4");
  expect_bad(4, "", "event 4 is missing");
}

TEST_F(AuditLogTest, DeletedFirst) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence <= 3");
  expect_bad(1, "", "events 1 to 3 are missing");
}

TEST_F(AuditLogTest, DeletedAndRenumbered) {
  append(10);
  std::string id = id_of(5);
  tamper(
      "DELETE FROM audit_events WHERE sequence = 4; UPDATE audit_events SET sequence = sequence - 1 WHERE sequence > 4;"
      " UPDATE audit_head SET sequence = 9");
  expect_bad(4, id, "were deleted");
}

TEST_F(AuditLogTest, Edited) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET json = replace(json, 'alice', 'bobby') WHERE sequence = 6");
  expect_bad(6, id, "was edited");
}

TEST_F(AuditLogTest, EditedLast) {
  append(10);
  std::string id = id_of(10);
  tamper("UPDATE audit_events SET json = replace(json, 'alice', 'bobby') WHERE sequence = 10");
  expect_bad(10, id, "was edited");
}

TEST_F(AuditLogTest, EditedHmac) {
  append(10);
  std::string id = id_of(2);
  tamper("UPDATE audit_events SET hmac = randomblob(32) WHERE sequence = 2");
  expect_bad(2, id, "was edited");
}

TEST_F(AuditLogTest, EditedColumnsThatSearchesGoBy) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET user_name = 'bob' WHERE sequence = 6");
  expect_bad(6, id, "columns");
}

TEST_F(AuditLogTest, NonsenseInColumns) {
  append(10);
  std::string id = id_of(6);
  tamper("UPDATE audit_events SET hmac = X'', prev_hmac = X'00', json = '{{' WHERE sequence = 6");
  expect_bad(6, id, "was edited");
}

TEST_F(AuditLogTest, Swapped) {
  append(10);
  std::string id = id_of(5);
  tamper(
      "UPDATE audit_events SET sequence = -1 WHERE sequence = 4; UPDATE audit_events SET sequence = 4 WHERE sequence ="
      " 5; UPDATE audit_events SET sequence = 5 WHERE sequence = -1");
  expect_bad(4, id, "was swapped with event 5");
}

TEST_F(AuditLogTest, Moved) {
  append(10);
  std::string id = id_of(8);
  tamper(
      "UPDATE audit_events SET sequence = -1 WHERE sequence = 4; UPDATE audit_events SET sequence = 4 WHERE sequence ="
      " 8; UPDATE audit_events SET sequence = 8 WHERE sequence = -1");
  expect_bad(4, id, "was moved");
}

TEST_F(AuditLogTest, Duplicated) {
  append(10);
  tamper(std::string(kShiftUp) +
         "INSERT INTO audit_events SELECT 5, 'other', event_type, timestamp, user_name, session_id, json, key_id, "
         "prev_hmac,"
         " hmac FROM audit_events WHERE sequence = 3; UPDATE audit_head SET sequence = 11");
  expect_bad(5, "other", "is a duplicate of event 3");
}

TEST_F(AuditLogTest, Inserted) {
  append(10);
  tamper(std::string(kShiftUp) +
         "INSERT INTO audit_events SELECT 5, 'other', event_type, timestamp, 'eve', session_id, json || ' ', key_id, "
         "(SELECT"
         " hmac FROM audit_events WHERE sequence = 4), randomblob(32) FROM audit_events WHERE sequence = 3; UPDATE "
         "audit_head"
         " SET sequence = 11");
  expect_bad(5, "other", "was inserted");
}

TEST_F(AuditLogTest, InsertedBeforeTheFirst) {
  append(3);
  tamper(
      "INSERT INTO audit_events SELECT 0, 'other', event_type, timestamp, user_name, session_id, json, key_id,"
      " prev_hmac, hmac FROM audit_events WHERE sequence = 1");
  VerifyReport report = verify();
  EXPECT_EQ(report.first_bad_sequence, 0);
  EXPECT_EQ(report.first_bad_id, "other");
  EXPECT_FALSE(report.ok);
}

TEST_F(AuditLogTest, Truncated) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence > 7");
  expect_bad(8, "", "7");
}

TEST_F(AuditLogTest, TruncatedStaysVisibleWhenTheHubGoesOn) {
  append(10);
  tamper("DELETE FROM audit_events WHERE sequence > 7");
  open();
  append(2);
  EXPECT_EQ(log_->last_sequence(), 12);
  expect_bad(8, "", "events 8 to 10 are missing");
}

TEST_F(AuditLogTest, TruncatedWithAForgedCheckpoint) {
  append(10);
  tamper(
      "DELETE FROM audit_events WHERE sequence > 7; UPDATE audit_head SET sequence = 7, hmac = (SELECT hmac FROM"
      " audit_events WHERE sequence = 7)");
  VerifyReport report = verify();  // the running hub knows what it wrote
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 8);
  open();  // and after a restart the file beside the database does
  auto noticed = log_->list({.type = "audit.rolled_back"}).value();
  ASSERT_EQ(noticed.size(), 1u);
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_written\":10"));
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_found\":7"));
}

TEST_F(AuditLogTest, RolledBackToASnapshotUnderARunningHub) {
  append(5);
  tamper("CREATE TABLE old_events AS SELECT * FROM audit_events; CREATE TABLE old_head AS SELECT * FROM audit_head");
  append(5);
  tamper(
      "DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM old_events; DELETE FROM audit_head; INSERT INTO"
      " audit_head SELECT * FROM old_head");
  VerifyReport report = verify();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 6);
  EXPECT_THAT(report.problem, HasSubstr("rolled back"));
  append(1);
  report = verify();
  EXPECT_EQ(report.first_bad_sequence, 6);
  EXPECT_THAT(report.problem, HasSubstr("events 6 to 10 are missing"));
}

TEST_F(AuditLogTest, AnOlderCopyOfTheDatabasePutInPlace) {
  append(5);
  ASSERT_EQ(shell("sqlite3 " + path_.string() + " \".backup '" + (folder_ / "copy.db").string() + "'\""), "");
  append(5);
  close();
  fs::copy_file(folder_ / "copy.db", path_, fs::copy_options::overwrite_existing);
  open();
  auto noticed = log_->list({.type = "audit.rolled_back"}).value();
  ASSERT_EQ(noticed.size(), 1u);
  EXPECT_THAT(noticed[0].json, HasSubstr("\"events_written\":10"));
  EXPECT_TRUE(verify().ok) << "a restored backup is a good log that says so";
  open();
  EXPECT_EQ(log_->list({.type = "audit.rolled_back"})->size(), 1u) << "once";
}

TEST_F(AuditLogTest, CheckpointChanged) {
  append(5);
  tamper("UPDATE audit_head SET seal = randomblob(32)");
  EXPECT_THAT(verify().problem, HasSubstr("was changed"));
  tamper("DELETE FROM audit_head");
  EXPECT_THAT(verify().problem, HasSubstr("was deleted"));
}

TEST_F(AuditLogTest, RowsInTheWayDoNotStopTheHub) {
  append(3);
  tamper(
      "INSERT INTO audit_events SELECT 4, 'in the way', event_type, timestamp, user_name, session_id, json, key_id,"
      " prev_hmac, hmac FROM audit_events WHERE sequence = 3");
  append(2);
  EXPECT_EQ(log_->last_sequence(), 6);
  EXPECT_EQ(verify().first_bad_id, "in the way");
}

// T34: the key is rotated and the previous one kept.
TEST_F(AuditLogTest, RotatedKey) {
  append(3);
  open("another key", {"the key"});
  EXPECT_TRUE(verify().ok) << verify().problem;
  append(3);
  open("a third", {"another key", "the key"});
  append(1);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_EQ(report.verified, 7);
  open("a third");
  report = verify();
  EXPECT_EQ(report.first_bad_sequence, 1);
  EXPECT_THAT(report.problem, HasSubstr("audit.previous_hmac_keys"));
}

TEST_F(AuditLogTest, WithoutAKey) {
  fs::remove(folder_ / "audit.head");
  open("");
  append(3);
  VerifyReport report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_FALSE(report.keyed);
  EXPECT_EQ(report.unkeyed, 3);
  EXPECT_THAT(log_->list({})->at(0).json, HasSubstr("\"hmac_key_id\":\"none\""));
  // A key from now on.
  open("the key");
  append(2);
  report = verify();
  EXPECT_TRUE(report.ok) << report.problem;
  EXPECT_EQ(report.unkeyed, 3);
  EXPECT_EQ(report.verified, 5);
}

// Whoever has no key can still compute SHA-256: a plain chain behind keyed events is no good one.
TEST_F(AuditLogTest, DowngradeToAPlainChain) {
  append(3);
  open("");  // as if by somebody who starts his own hub on the file
  append(2);
  open("the key");
  VerifyReport report = verify();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.first_bad_sequence, 4);
  EXPECT_THAT(report.problem, HasSubstr("not protected by a key"));
}

}  // namespace
}  // namespace mezite::audit
