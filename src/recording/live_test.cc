// Streams to the hub while a session runs: what is durable at the node arrives, what does not arrive is uploaded later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "recording/live.hh"
#include "recording/news.hh"
#include "recording/recorder.hh"
#include "recording/storage.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kOwner = "0f0e0d0c-0b0a-4908-8706-050403020100";

class SwitchedTarget final : public UploadTarget {
 public:
  explicit SwitchedTarget(LocalStorage& storage) : storage_(storage) {}
  Result<PutReceipt> put(const PutRequest& request) override {
    const ErrorCode code = refuse_with.load();
    auto receipt = down ? Result<PutReceipt>(fail(code, "the hub is away")) : storage_.put(kOwner, request);
    news.tell();
    return receipt;
  }
  News news;
  std::atomic<bool> down = false;
  std::atomic<ErrorCode> refuse_with = ErrorCode::kUnavailable;

 private:
  LocalStorage& storage_;
};

struct LiveTest : ::testing::Test {
  TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  LocalStorage storage = LocalStorage::open(folder / "recordings").value();
  SwitchedTarget target{storage};
  ManualClock clock;  // of the streams alone
  std::unique_ptr<LiveStreams> live = std::make_unique<LiveStreams>(target, clock);
  Header header = some_header();
  std::optional<Recorder> recorder{std::in_place, spool, system_clock()};  // last: its thread uses the others

  std::unique_ptr<Session> begin() {
    return recorder
        ->open(header, {.finished =
                            [this] {
                              live->close(header.session_id);
                              target.news.tell();
                            },
                        .synced =
                            [this](std::uint64_t bytes) {
                              live->synced(header.session_id, bytes);
                              target.news.tell();
                            }})
        .value();
  }
  template <class Condition>
  bool wait_for(Condition condition) {
    return target.news.wait_for(condition);
  }
  std::string at_hub() {
    const auto chunk = storage.read(header.session_id, 0, 1 << 20);
    if (!chunk) return {};
    const ReadBack back = read_back(pull_from(chunk->data));
    EXPECT_FALSE(back.error);
    return back.text(EventKind::kOutput);
  }
};

TEST_F(LiveTest, WhatIsWrittenIsAtTheHubWithinAMomentAndTheUploadGoesOnFromThere) {
  auto session = begin();
  ASSERT_TRUE(live->open(header.session_id, spool.live_path_of(header.session_id)));
  EXPECT_EQ(storage.get(header.session_id)->header, Reader::open_file(spool.live_path_of(header.session_id))->header());
  session->write(EventKind::kOutput, as_bytes("hello "));
  ASSERT_TRUE(wait_for([&] { return at_hub() == "hello "; }));
  session->write(EventKind::kOutput, as_bytes("world"));
  ASSERT_TRUE(wait_for([&] { return at_hub() == "hello world"; }));
  EXPECT_FALSE(storage.get(header.session_id)->complete);
  session->finish({.exit_code = 0});
  ASSERT_TRUE(wait_for([&] { return !spool.waiting()->empty(); }));
  Uploader uploader(spool, target, system_clock(), {}, 1);
  uploader.run_once();
  EXPECT_TRUE(storage.get(header.session_id)->complete);
  EXPECT_TRUE(storage.get(header.session_id)->problem.empty());
  EXPECT_TRUE(spool.waiting()->empty());
}

TEST_F(LiveTest, AHubThatGoesAwayLosesNothing) {
  auto session = begin();
  ASSERT_TRUE(live->open(header.session_id, spool.live_path_of(header.session_id)));
  target.down = true;
  const auto before = std::filesystem::file_size(spool.live_path_of(header.session_id));
  session->write(EventKind::kOutput, as_bytes("while it was away "));
  ASSERT_TRUE(wait_for([&] { return std::filesystem::file_size(spool.live_path_of(header.session_id)) > before; }));
  target.down = false;
  ASSERT_TRUE(wait_for([&] {
    clock.advance(1s);  // the pauses between the tries
    session->write(EventKind::kOutput, as_bytes("."));
    return at_hub().starts_with("while it was away ");
  }));
}

TEST_F(LiveTest, AStreamThatCannotBeOpenedSaysWhy) {
  auto session = begin();
  target.down = true;
  const auto opened = live->open(header.session_id, spool.live_path_of(header.session_id));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(opened.error().message, HasSubstr("the hub is away"));
}

TEST_F(LiveTest, AStreamThatIsBehindForTooLongIsLostOnce) {
  auto session = begin();
  std::atomic<int> lost = 0;
  ASSERT_TRUE(live->open(header.session_id, spool.live_path_of(header.session_id), [&](const Error&) {
    ++lost;
    target.news.tell();
  }));
  target.down = true;
  session->write(EventKind::kOutput, as_bytes("x"));
  ASSERT_TRUE(wait_for([&] {
    clock.advance(10s);
    session->write(EventKind::kOutput, as_bytes("y"));
    return lost > 0;
  }));
  EXPECT_FALSE(session->failed());  // the recording at the node goes on
  live->stop();
  EXPECT_EQ(lost, 1);
}

TEST_F(LiveTest, ARefusalForGoodIsALossAtOnce) {
  auto session = begin();
  std::atomic<int> lost = 0;
  ASSERT_TRUE(live->open(header.session_id, spool.live_path_of(header.session_id), [&](const Error&) {
    ++lost;
    target.news.tell();
  }));
  target.refuse_with = ErrorCode::kPermissionDenied;
  target.down = true;
  session->write(EventKind::kOutput, as_bytes("x"));
  EXPECT_TRUE(wait_for([&] { return lost == 1; }));
}

TEST_F(LiveTest, ASessionThatNeverBeganLeavesNothing) {
  auto session = begin();
  session->discard();
  session.reset();
  recorder.reset();  // when all that waited has been done
  EXPECT_FALSE(std::filesystem::exists(spool.live_path_of(header.session_id)));
  EXPECT_TRUE(spool.waiting()->empty());
}

}  // namespace
}  // namespace mezite::recording
