#include "auth/use/recording_reindex.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "auth/testing.hh"
#include "base/id.hh"
#include "recording/writer.hh"

namespace mezite::auth {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct RecordingReindexTest : testing::ServicesTest {
  // A file that somebody has put among the recordings.
  std::string plant(const std::string& cluster) {
    const recording::Header header{.session_id = new_uuid(),
                                   .cluster_name = cluster,
                                   .user = "alice",
                                   .login = "root",
                                   .node = "web-01",
                                   .node_id = new_uuid(),
                                   .client_address = "",
                                   .command = "",
                                   .started_at = system_clock().now(),
                                   .keys = {},
                                   .chain_key = {.recipient = services_->recording_key.recipient()}};
    recording::Writer writer =
        recording::Writer::create(services_->recordings.path_of(header.session_id), header, SteadyTime(1h)).value();
    EXPECT_TRUE(writer.write(recording::EventKind::kOutput, as_bytes("hello"), SteadyTime(1h)));
    EXPECT_TRUE(writer.finish({.exit_code = 0}, SteadyTime(1h) + 1s));
    return header.session_id;
  }
};

TEST_F(RecordingReindexTest, WhatTheAuditLogDoesNotKnowIsTakenAndSaysSo) {
  const std::string id = plant("test.mezite");
  EXPECT_FALSE(services_->recordings.get(id));
  const Caller root = caller_of_local_peer(0, 1);
  auto run = reindex_recordings(*services_, root, "");
  ASSERT_TRUE(run) << run.error().message;
  ASSERT_THAT(run->recordings, SizeIs(1));
  EXPECT_TRUE(run->recordings[0].taken);
  EXPECT_FALSE(run->recordings[0].vouched);
  EXPECT_EQ(run->recordings[0].reason, "");
  EXPECT_EQ(run->next, "") << "there is no bucket";
  const auto stored = services_->recordings.get(id);
  ASSERT_TRUE(stored && stored->complete);
  EXPECT_EQ(stored->owner, stored->header.node_id);
  ASSERT_THAT(events("session.recording.reindexed"), SizeIs(1));
  EXPECT_THAT(events("session.recording.reindexed")[0], HasSubstr(R"("vouched":false)"));
  run = reindex_recordings(*services_, root, "");
  ASSERT_TRUE(run);
  EXPECT_THAT(run->recordings, IsEmpty());
  EXPECT_EQ(run->known, 1);
}

TEST_F(RecordingReindexTest, ARecordingOfAnotherClusterIsNot) {
  const std::string id = plant("elsewhere.mezite");
  const auto run = reindex_recordings(*services_, caller_of_local_peer(0, 1), "");
  ASSERT_TRUE(run);
  ASSERT_THAT(run->recordings, SizeIs(1));
  EXPECT_FALSE(run->recordings[0].taken);
  EXPECT_THAT(run->recordings[0].reason, HasSubstr("elsewhere.mezite"));
  EXPECT_FALSE(services_->recordings.get(id));
  EXPECT_THAT(events("session.recording.reindexed"), IsEmpty());
}

TEST_F(RecordingReindexTest, ItTakesTheRightAndGoesOnWhereItIsTold) {
  const std::string id = plant("test.mezite");
  add_user("carol", {"auditor"});
  const auto refused = reindex_recordings(*services_, caller("carol"), "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  const Caller root = caller_of_local_peer(0, 1);
  for (const char* after : {"x", "local", "s3/../..", "disk/", "local/0"}) {
    EXPECT_EQ(reindex_recordings(*services_, root, after).error().code, ErrorCode::kInvalidArgument) << after;
  }
  const auto behind = reindex_recordings(*services_, root, "local/" + id);
  ASSERT_TRUE(behind);
  EXPECT_THAT(behind->recordings, IsEmpty());
  EXPECT_FALSE(services_->recordings.get(id));
}

}  // namespace
}  // namespace mezite::auth
