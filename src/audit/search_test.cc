#include "audit/search.hh"

#include "audit/testing.hh"
#include "base/id.hh"

namespace mezite::audit {
namespace {

using ::testing::HasSubstr;

TEST_F(AuditLogTest, Lists) {
  auto start = clock_.now();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(log_->append(event(EventKind::kUserLogin, "alice")));
    ASSERT_TRUE(log_->append(event(EventKind::kUserLoginFailed, "bob")));
    Event session = event(EventKind::kSessionStart, "alice");
    session.session_id = "s" + std::to_string(i);
    ASSERT_TRUE(log_->append(session));
    ASSERT_TRUE(log_->append(event(EventKind::kAccessDeniedSourceAddress, "mallory")));
  }
  auto sequences = [&](const Filter& filter) {
    std::vector<std::int64_t> out;
    auto listed = log_->list(filter);
    EXPECT_TRUE(listed) << listed.error().message;
    for (const StoredEvent& stored : *listed) out.push_back(stored.sequence);
    return out;
  };
  using List = std::vector<std::int64_t>;
  EXPECT_EQ(sequences({.limit = 3}), (List{12, 11, 10}));
  EXPECT_EQ(sequences({.type = "user.login"}), (List{9, 5, 1}));
  EXPECT_EQ(sequences({.type = "user.*"}), (List{10, 9, 6, 5, 2, 1}));
  EXPECT_EQ(sequences({.type = "user.login.*"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.type = "use.*"}), (List{}));
  EXPECT_EQ(sequences({.type = "access.denied"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.type = "' OR 1 --"}), (List{}));
  EXPECT_EQ(sequences({.text = "alice"}), (List{11, 9, 7, 5, 3, 1}));
  EXPECT_EQ(sequences({.text = "MALLORY access"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.text = "user.login failed"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.text = "mall*"}), (List{12, 8, 4}));
  EXPECT_EQ(sequences({.text = "mall"}), (List{}));
  EXPECT_EQ(sequences({.type = "session.*", .text = "alice"}), (List{11, 7, 3}));
  EXPECT_EQ(sequences({.user = "bob", .text = "alice"}), (List{}));
  EXPECT_EQ(sequences({.session_id = "s1", .text = "start"}), (List{7}));
  EXPECT_EQ(sequences({.session_id = "s1", .text = "end"}), (List{}));
  EXPECT_EQ(
      sequences({.since = start + std::chrono::seconds(3), .until = start + std::chrono::seconds(8), .text = "alice"}),
      (List{7, 5, 3}));
  EXPECT_EQ(sequences({.text = "alice", .limit = 2, .after_sequence = 1}), (List{3, 5}));
  for (const char* hostile : {"\"", "\" OR 1 --", "alice\" NOT \"x", "NEAR(", "a:b", "^", "*", "--"}) {
    auto searched = log_->list({.text = hostile});
    if (searched) {
      EXPECT_THAT(*searched, ::testing::SizeIs(0)) << hostile;
    } else {
      EXPECT_EQ(searched.error().code, ErrorCode::kInvalidArgument) << hostile << searched.error().message;
    }
  }
  EXPECT_EQ(sequences({.user = "bob"}), (List{10, 6, 2}));
  EXPECT_EQ(sequences({.type = "session.*", .user = "alice"}), (List{11, 7, 3}));
  EXPECT_EQ(sequences({.session_id = "s1"}), (List{7}));
  EXPECT_EQ(sequences({.since = start + std::chrono::seconds(11)}), (List{12, 11}));
  EXPECT_EQ(sequences({.until = start + std::chrono::seconds(3)}), (List{2, 1}));
  EXPECT_EQ(sequences({.after_sequence = 10}), (List{11, 12}));
  EXPECT_EQ(sequences({.type = "user.*", .limit = 2, .after_sequence = 1}), (List{2, 5}));
  EXPECT_EQ(sequences({.limit = 0}).size(), 1u);
  EXPECT_EQ(sequences({.limit = 1'000'000}).size(), 12u);
  EXPECT_TRUE(event_from_json(log_->list({.limit = 1})->at(0).json));
}

TEST_F(AuditLogTest, SearchesGoByIndexes) {
  for (const char* condition :
       {"1", "event_type = 'a'", "event_type = 'a' AND timestamp >= 5 AND timestamp < 9", "timestamp >= 5",
        "user_name <> '' AND user_name = 'x'", "user_name <> '' AND user_name = 'x' AND event_type = 'a'",
        "session_id <> '' AND session_id = 'x'", "timestamp <= 5 AND (timestamp < 5 OR sequence < 7)"}) {
    std::string plan =
        shell("sqlite3 " + path_.string() + " \"EXPLAIN QUERY PLAN SELECT * FROM audit_events e WHERE 1 AND " +
              condition + " ORDER BY timestamp DESC, sequence DESC LIMIT 10\"");
    EXPECT_THAT(plan, HasSubstr("e USING INDEX")) << condition;
    EXPECT_THAT(plan, ::testing::Not(HasSubstr("TEMP B-TREE"))) << condition;
  }
}

// Every page of every search, put together, is the search without pages: also where events share a millisecond and
// where they were written late.
TEST_F(AuditLogTest, PagesAreWhole) {
  std::vector<Event> events;
  for (int i = 0; i < 60; ++i) {
    Event made = event(i % 3 == 0 ? EventKind::kSessionStart : EventKind::kSessionEnd, i % 2 == 0 ? "alice" : "bob");
    if (i % 3 != 0) made.timestamp = from_unix_millis(1'800'000'000'000 + (i * 7919) % 13);
    made.session_id = "s" + std::to_string(i % 4);
    events.push_back(std::move(made));
  }
  ASSERT_TRUE(log_->append(events));
  for (Filter filter : std::initializer_list<Filter>{{},
                                                     {.type = "session.end"},
                                                     {.type = "session.*"},
                                                     {.user = "bob"},
                                                     {.session_id = "s3"},
                                                     {.text = "alice"},
                                                     {.until = from_unix_millis(1'800'000'000'009)},
                                                     {.type = "session.*", .user = "alice", .text = "end"}}) {
    auto whole = log_->list(filter).value();
    ASSERT_GE(whole.size(), 9u);
    std::vector<std::int64_t> expected, seen;
    for (const StoredEvent& stored : whole) expected.push_back(stored.sequence);
    EXPECT_TRUE(std::ranges::is_sorted(whole, std::greater(),
                                       [](const StoredEvent& e) { return std::pair(e.timestamp_ms, e.sequence); }));
    filter.limit = 4;
    while (true) {
      auto page = log_->list(filter).value();
      if (page.empty()) break;
      for (const StoredEvent& stored : page) seen.push_back(stored.sequence);
      filter.before = Filter::Position{page.back().timestamp_ms, page.back().sequence};
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST_F(AuditLogTest, EventsOfAnOlderSchemaAreFoundByText) {
  append(3);
  close();
  tamper(
      "DROP TABLE audit_words; DROP TABLE audit_sinks; DROP INDEX audit_events_by_type_time; DROP INDEX"
      " audit_events_by_user_time; DROP INDEX audit_events_by_user_type; DROP INDEX audit_events_by_session_time;"
      " CREATE INDEX audit_events_by_type ON audit_events (event_type); CREATE INDEX audit_events_by_user ON"
      " audit_events (user_name); CREATE INDEX audit_events_by_session ON audit_events (session_id);"
      " DROP TABLE recording_keys; DROP TABLE revocations; ALTER TABLE ca_rotations DROP COLUMN revision; ALTER TABLE "
      "ca_rotations DROP COLUMN "
      "note;"
      " DROP TABLE workload_identities; DROP TABLE recorded_command_text; DROP TABLE recorded_commands; DROP TABLE "
      "recorded_sessions;"
      " ALTER TABLE nodes DROP COLUMN enhanced_recording; ALTER TABLE nodes DROP COLUMN joined_as;"
      " ALTER TABLE join_tokens DROP COLUMN method; ALTER TABLE join_tokens DROP COLUMN aws_accounts;"
      " ALTER TABLE join_tokens DROP COLUMN aws_arns;"
      " ALTER TABLE nodes DROP COLUMN ca_report; DELETE FROM schema_migrations WHERE version >= 6");
  open();
  append(1);
  EXPECT_EQ(log_->list({.text = "alice user.login"})->size(), 4u);
  EXPECT_TRUE(verify().ok);
}

// Keys of the event's own shape inside of it, quotes and braces in texts: what counts stands at the top.
TEST_F(AuditLogTest, WhatLooksLikeColumnsInsideIsNone) {
  Event made = event(EventKind::kUserLogin, "a\"},{[\\");
  made.resource_labels = {{"user_name", "label"}, {"id", "}"}, {"timestamp", "\\\""}};
  made.details = R"({"event_type":"x","id":{"id":["]"]},"session_id":"{","user_name":"root"})";
  ASSERT_TRUE(log_->append(made));
  append(1);
  EXPECT_TRUE(verify().ok) << verify().problem;
  std::string id = id_of(1);
  tamper("UPDATE audit_events SET user_name = 'root' WHERE sequence = 1");
  expect_bad(1, id, "columns");
}

}  // namespace
}  // namespace mezite::audit
