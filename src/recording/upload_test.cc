// The uploader against a hub's storage with every kind of fault in between, and the storage by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "crypto/hash.hh"
#include "recording/storage.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kOwner = "0f0e0d0c-0b0a-4908-8706-050403020100";

class StorageTarget : public UploadTarget {
 public:
  explicit StorageTarget(LocalStorage& storage) : storage_(storage) {}
  Result<PutReceipt> put(const PutRequest& request) override {
    ++calls;
    return storage_.put(kOwner, request);
  }
  int calls = 0;

 protected:
  LocalStorage& storage_;
};

// Loses requests and answers, and now and then lets only a part through.
class FaultyTarget final : public StorageTarget {
 public:
  FaultyTarget(LocalStorage& storage, std::uint32_t seed) : StorageTarget(storage), random_(seed) {}
  Result<PutReceipt> put(const PutRequest& request) override {
    switch (next() % 6) {
      case 0: return fail(ErrorCode::kUnavailable, "the request was lost");
      case 1: {
        (void)StorageTarget::put(request);
        return fail(ErrorCode::kTimeout, "the answer was lost");
      }
      case 2:
        if (request.data.size() > 1) {
          PutRequest part = request;
          part.data = request.data.first(next() % request.data.size());
          part.last = false;
          (void)StorageTarget::put(part);
          return fail(ErrorCode::kInternal, "500");
        }
        break;
      default: break;
    }
    return StorageTarget::put(request);
  }

 private:
  std::uint32_t next() { return (random_ = random_ * 1664525 + 1013904223) >> 16; }
  std::uint32_t random_;
};

struct Bench {
  TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  LocalStorage storage = LocalStorage::open(folder / "recordings").value();
  ManualClock clock;
  std::vector<std::string> uploaded;
  std::vector<std::string> failed;
  std::vector<std::string> set_aside;

  Uploader::Callbacks callbacks() {
    return {.uploaded = [this](std::string_view id, std::uint64_t) { uploaded.emplace_back(id); },
            .failed =
                [this](std::string_view id, const Error& error, bool aside) {
                  failed.push_back(error.message);
                  if (aside) set_aside.emplace_back(id);
                }};
  }

  // A finished recording of some size in the spool; gives its id and bytes.
  std::pair<std::string, Bytes> record(std::size_t size, std::uint32_t seed = 7) {
    const Header header = some_header();
    Writer writer = spool.create(header, SteadyTime(1h)).value();
    Bytes noise(size);
    for (auto& byte : noise) byte = static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
    EXPECT_TRUE(writer.write(EventKind::kOutput, noise, SteadyTime(1h)));
    EXPECT_TRUE(writer.finish({.exit_code = 0, .signal = ""}, SteadyTime(1h) + 90s));
    EXPECT_TRUE(spool.release(header.session_id));
    return {header.session_id, read_file(spool.path_of(header.session_id)).value()};
  }

  Bytes stored(const std::string& id) {
    Bytes all;
    for (;;) {
      const ReadChunk chunk = storage.read(id, all.size(), 100'000).value();
      all.insert(all.end(), chunk.data.begin(), chunk.data.end());
      if (chunk.eof) return all;
    }
  }
};

TEST(Upload, BringsARecordingWholeAndRemovesItAfterTheReceipt) {
  Bench bench;
  const auto [id, bytes] = bench.record(5'000'000);
  StorageTarget target(bench.storage);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  uploader.run_once();
  EXPECT_THAT(bench.uploaded, ElementsAre(id));
  EXPECT_THAT(bench.spool.waiting().value(), IsEmpty());
  EXPECT_EQ(bench.stored(id), bytes);
  const StoredRecording stored = bench.storage.get(id).value();
  EXPECT_TRUE(stored.complete);
  EXPECT_EQ(stored.problem, "");
  EXPECT_EQ(stored.size_bytes, bytes.size());
  EXPECT_EQ(*stored.ended_at, stored.header.started_at + 90s);
}

TEST(Upload, GoesOnInWholePages) {
  struct Noting final : StorageTarget {
    using StorageTarget::StorageTarget;
    Result<PutReceipt> put(const PutRequest& request) override {
      if (!request.data.empty()) offsets.push_back(request.offset);
      return StorageTarget::put(request);
    }
    std::vector<std::uint64_t> offsets;
  };
  Bench bench;
  const auto [id, bytes] = bench.record(3'000'000);
  const std::string json = header_to_json(Reader::open(pull_from(bytes))->header());
  ASSERT_TRUE(
      bench.storage.put(kOwner, {.session_id = id, .data = BytesView(bytes).first(12345), .header_json = json}));
  Noting target(bench.storage);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  uploader.run_once();
  EXPECT_THAT(bench.uploaded, ElementsAre(id));
  EXPECT_THAT(target.offsets, ElementsAre(12345, 1 << 20, 2 << 20));
  EXPECT_EQ(bench.stored(id), bytes);
}

TEST(Upload, SurvivesEveryLoss) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    Bench bench;
    std::vector<std::pair<std::string, Bytes>> recordings;
    for (std::uint32_t i = 0; i < 4; ++i) recordings.push_back(bench.record(i * 1'200'000 + 10, i));
    FaultyTarget target(bench.storage, seed);
    Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), seed);
    for (int round = 0; round < 400 && !bench.spool.waiting()->empty(); ++round) {
      uploader.run_once();
      bench.clock.advance(6min);
    }
    ASSERT_THAT(bench.spool.waiting().value(), IsEmpty()) << seed;
    EXPECT_THAT(bench.set_aside, IsEmpty());
    for (const auto& [id, bytes] : recordings) {
      EXPECT_EQ(bench.stored(id), bytes);
      EXPECT_TRUE(bench.storage.get(id)->complete);
    }
  }
}

TEST(Upload, APoisonedOneGoesAsideAndDoesNotHoldUpTheNext) {
  Bench bench;
  const auto [bad, bad_bytes] = bench.record(1000);
  std::fstream(bench.spool.path_of(bad), std::ios::in | std::ios::out | std::ios::binary).seekp(600).put('!');
  const auto [good, good_bytes] = bench.record(1000);
  StorageTarget target(bench.storage);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  uploader.run_once();
  EXPECT_THAT(bench.uploaded, ElementsAre(good));
  EXPECT_THAT(bench.set_aside, ElementsAre(bad));
  EXPECT_THAT(bench.failed, ElementsAre(HasSubstr("this node's copy does not verify")));
  EXPECT_TRUE(std::filesystem::exists(bench.folder / "spool" / "aside" / (bad + ".mezrec")));
}

TEST(Upload, ARefusedOneIsTriedAgainForEverWithGrowingWaits) {
  struct Forbidden final : UploadTarget {
    Result<PutReceipt> put(const PutRequest&) override {
      ++calls;
      return fail(ErrorCode::kPermissionDenied, "403");
    }
    int calls = 0;
  } target;
  Bench bench;
  const auto [id, bytes] = bench.record(1000);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  std::chrono::nanoseconds longest{0};
  for (int i = 1; i <= 30; ++i) {
    const SteadyTime next = uploader.run_once();
    EXPECT_EQ(target.calls, i);
    EXPECT_EQ(uploader.run_once(), next);  // not yet
    EXPECT_EQ(target.calls, i);
    longest = std::max<std::chrono::nanoseconds>(longest, next - bench.clock.steady());
    bench.clock.advance(5min);
  }
  EXPECT_THAT(bench.spool.waiting().value(), ElementsAre(id));
  EXPECT_THAT(bench.set_aside, IsEmpty());
  EXPECT_GE(longest, 10s);
  uploader.retry_now();
  uploader.run_once();
  EXPECT_EQ(target.calls, 31);
}

TEST(Upload, ARetryDoesNotForgetWhatSpeaksAgainstARecording) {
  struct Disagreeing final : UploadTarget {
    Result<PutReceipt> put(const PutRequest&) override { return fail(ErrorCode::kCorrupt, "the hash does not agree"); }
  } target;
  Bench bench;
  const auto [id, bytes] = bench.record(1000);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(bench.set_aside, IsEmpty());
    uploader.run_once();
    uploader.retry_now();
  }
  EXPECT_THAT(bench.set_aside, ElementsAre(id));
}

TEST(Upload, AnUnreachableHubIsNotAskedForEachRecording) {
  struct Away final : UploadTarget {
    Result<PutReceipt> put(const PutRequest&) override {
      ++calls;
      return fail(ErrorCode::kUnavailable, "nobody there");
    }
    int calls = 0;
  } target;
  Bench bench;
  for (int i = 0; i < 20; ++i) bench.record(10);
  Uploader uploader(bench.spool, target, bench.clock, bench.callbacks(), 1);
  uploader.run_once();
  EXPECT_LE(target.calls, 2);
  EXPECT_THAT(bench.spool.waiting().value(), SizeIs(20));
}

TEST(Storage, IsIdempotentAndDurablyOrdered) {
  const TempFolder folder;
  LocalStorage storage = LocalStorage::open(folder / "recordings").value();
  const Header header = some_header();
  const std::string json = header_to_json(header);
  const Bytes content = to_bytes("0123456789");
  const auto sha256 = crypto::sha256(content);
  const auto put = [&](std::uint64_t offset, std::string_view data, bool last = false,
                       std::string_view owner = kOwner) {
    return storage.put(owner, {.session_id = header.session_id,
                               .offset = offset,
                               .data = as_bytes(data),
                               .last = last,
                               .sha256 = last ? BytesView(sha256) : BytesView(),
                               .header_json = json});
  };
  EXPECT_EQ(put(5, "56").error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(put(0, "")->size, 0U);
  EXPECT_EQ(storage.get(header.session_id).error().code, ErrorCode::kNotFound);  // asking makes nothing
  EXPECT_EQ(put(0, "01234")->size, 5U);
  EXPECT_EQ(put(0, "01234")->size, 5U);
  EXPECT_EQ(put(0, "")->size, 5U);
  EXPECT_EQ(put(3, "34567")->size, 8U);
  EXPECT_THAT(put(9, "9").error().message, HasSubstr("holds 8 bytes"));
  EXPECT_EQ(put(0, "0x").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(put(0, "0", true).error().code, ErrorCode::kCorrupt);  // shorter than what is held
  EXPECT_EQ(put(8, "89", false, "another node").error().code, ErrorCode::kPermissionDenied);
  const PutReceipt receipt = put(8, "89", true).value();
  EXPECT_TRUE(receipt.verified);
  EXPECT_EQ(receipt.size, 10U);
  EXPECT_TRUE(put(8, "89", true)->verified);
  // It does not verify from within, so that another copy may go only when it is the same one.
  EXPECT_FALSE(put(0, "")->verified);
  EXPECT_EQ(put(0, "")->size, 10U);
  EXPECT_TRUE(put(10, "", true)->verified);
  const auto other = crypto::sha256(as_bytes("another"));
  EXPECT_EQ(
      storage.put(kOwner, {.session_id = header.session_id, .offset = 10, .last = true, .sha256 = other}).error().code,
      ErrorCode::kCorrupt);
  EXPECT_EQ(put(10, "x").error().code, ErrorCode::kCorrupt);
  EXPECT_NE(storage.get(header.session_id)->problem, "");  // ten digits are no recording, and it says so
}

TEST(Storage, AWrongHashStartsAnew) {
  const TempFolder folder;
  LocalStorage storage = LocalStorage::open(folder / "recordings").value();
  const Header header = some_header();
  const std::string json = header_to_json(header);
  const auto sha256 = crypto::sha256(as_bytes("right"));
  const auto put = [&](std::string_view data) {
    return storage.put(
        kOwner,
        {.session_id = header.session_id, .data = as_bytes(data), .last = true, .sha256 = sha256, .header_json = json});
  };
  EXPECT_EQ(put("wrong").error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(put("right")->verified);
}

TEST(Storage, IsTheSameAfterARestart) {
  const TempFolder folder;
  const Header one = some_header(), two = some_header(SessionKind::kExec), three = some_header();
  std::vector<std::string> before;
  {
    Bench bench;
    LocalStorage storage = LocalStorage::open(folder / "recordings").value();
    for (const Header& header : {one, two, three}) {
      const auto sha256 = crypto::sha256(as_bytes("x"));
      ASSERT_TRUE(storage.put(kOwner, {.session_id = header.session_id,
                                       .data = as_bytes("x"),
                                       .last = header == one,
                                       .sha256 = sha256,
                                       .header_json = header_to_json(header)}));
    }
    ASSERT_TRUE(storage.remove(three.session_id));
  }
  // A crash in the middle of a line.
  std::ofstream(folder / "recordings/index.jsonl", std::ios::app) << R"({"op":"remove","session_id":")";
  {
    LocalStorage storage = LocalStorage::open(folder / "recordings").value();
    EXPECT_THAT(storage.list(), SizeIs(2));
    EXPECT_TRUE(storage.get(one.session_id)->complete);
    EXPECT_FALSE(storage.get(two.session_id)->complete);
    EXPECT_EQ(storage.get(two.session_id)->header, two);
    EXPECT_EQ(storage.get(two.session_id)->owner, kOwner);
    EXPECT_EQ(storage.get(two.session_id)->size_bytes, 1U);
    EXPECT_THAT(storage.list("bob"), IsEmpty());
    EXPECT_THAT(storage.list("alice", "web-01", 1), SizeIs(1));
    ASSERT_TRUE(storage.remove(one.session_id));
  }
  EXPECT_THAT(LocalStorage::open(folder / "recordings")->list(), SizeIs(1));
}

TEST(Storage, NamesNeverLeaveTheFolder) {
  const TempFolder folder;
  LocalStorage storage = LocalStorage::open(folder / "recordings").value();
  for (const std::string id : {"../../etc/passwd", "", ".", "index.jsonl", "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6",
                               "/f81d4fae-7dec-41d0-a765-00a0c91e6bf"}) {
    EXPECT_FALSE(storage.put(kOwner, {.session_id = id, .data = as_bytes("x"), .header_json = "{}"})) << id;
    EXPECT_FALSE(storage.read(id, 0, 10)) << id;
    EXPECT_FALSE(storage.remove(id)) << id;
  }
  // A header of another session, and one that is none.
  const Header header = some_header();
  for (const std::string& json : {header_to_json(some_header()), std::string("{}"), std::string()}) {
    EXPECT_EQ(
        storage.put(kOwner, {.session_id = header.session_id, .data = as_bytes("x"), .header_json = json}).error().code,
        ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(storage.read(header.session_id, 0, 10).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace mezite::recording
