// The chain of a recording: damage is found without a key, and with the hub's key what somebody rewrote whole.
#include "recording/chain.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/hash.hh"
#include "recording/forged.hh"
#include "recording/storage.hh"
#include "recording/test_support.hh"
#include "recording/wire.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr SteadyTime kStart{1h};

// Eight segments of the same second.
void write_recording(const std::filesystem::path& path, std::span<const Recipient> recipients = {},
                     const Header& header = some_header()) {
  Writer writer = Writer::create(path, header, kStart, recipients).value();
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(writer.write(EventKind::kOutput, as_bytes(fmt::format("line {}\r\n", i)), kStart));
    ASSERT_TRUE(writer.flush());
  }
  ASSERT_TRUE(writer.finish({.exit_code = 0}, kStart));
}

void replace_text(Forged::Segment& segment, std::string_view from, std::string_view to) {
  Bytes raw(segment.frame.raw_bytes);
  ASSERT_TRUE(wire::decompress(segment.block, raw));
  const auto at = as_text(raw).find(from);
  ASSERT_NE(at, std::string_view::npos);
  std::ranges::copy(as_bytes(to), raw.begin() + static_cast<std::ptrdiff_t>(at));
  segment.block = wire::compress(raw);
}

// Its sums agree; its tags do not, and it is the segment at `offset` that says so.
void expect_forged(const Bytes& bytes, std::uint64_t offset, const char* what) {
  const ReadBack by_sums = read_back(pull_from(bytes));
  EXPECT_FALSE(by_sums.error) << what << ": " << by_sums.error->message;
  EXPECT_TRUE(by_sums.complete) << what;
  const ReadBack by_tags = read_back(pull_from(bytes), with_tags());
  ASSERT_TRUE(by_tags.error) << what;
  EXPECT_EQ(by_tags.error->code, ErrorCode::kCorrupt) << what;
  EXPECT_THAT(by_tags.error->message, HasSubstr("rewritten")) << what;
  EXPECT_THAT(by_tags.error->message, HasSubstr(fmt::format("(byte {})", offset))) << what;
}

// From one reading of the bytes, in pieces, as from two readings of the whole.
TEST(RecordingChain, SumAndTagTogetherAreTheSameAsEachAlone) {
  TagChain together(Secret(BytesView(Bytes(kChainKeyBytes, 5))));
  TagChain apart(Secret(BytesView(Bytes(kChainKeyBytes, 5))));
  Sum sum{};
  for (const std::size_t size : {1U, 16'383U, 16'384U, 16'385U, 126'976U}) {
    Bytes segment(size);
    for (std::size_t i = 0; i < size; ++i) segment[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
    const auto ends = together.next_with_sum(sum, segment);
    const Tag tag = apart.next(std::array<BytesView, 1>{segment});
    EXPECT_EQ(ends.tag, tag) << size;
    EXPECT_EQ(ends.sum, sum_of(std::array<BytesView, 3>{sum, segment, tag})) << size;
    EXPECT_EQ(together.number(), apart.number());
    sum = ends.sum;
  }
}

TEST(RecordingChain, SumsAreThoseOfXxHash) {
  EXPECT_EQ(to_hex(sum_of({})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hex(short_sum_of({})), "2d06800538d394c2");
  const BytesView whole[] = {as_bytes("a session")};
  const BytesView parts[] = {as_bytes("a "), {}, as_bytes("session")};
  EXPECT_EQ(sum_of(parts), sum_of(whole));
}

TEST(RecordingChain, EachTagHasAKeyOfItsOwnThatDoesNotLeadBack) {
  const Secret first_key(Bytes(32, 9));
  const BytesView part[] = {as_bytes("the same")};
  TagChain writer(first_key.clone());
  std::vector<Tag> tags;
  for (int i = 0; i < 4; ++i) tags.push_back(writer.next(part));
  TagChain seeking(first_key.clone());
  seeking.skip_to(2, tags[1]);
  EXPECT_EQ(seeking.next(part), tags[2]);
  EXPECT_EQ(seeking.number(), 3U);
  // What the node has after segment 3: told to go back it makes another tag than the one that it made then.
  writer.skip_to(3, tags[2]);
  EXPECT_EQ(writer.number(), 4U);
  EXPECT_NE(writer.next(part), tags[3]);
}

TEST(RecordingChain, AnAlteredByteIsFoundWithItsPlaceByTheSums) {
  const TempFolder folder;
  write_recording(folder / "a");
  const Forged parts = Forged::take_apart(folder / "a");
  Bytes bytes = read_file(folder / "a").value();
  ASSERT_EQ(bytes, parts.put_together()) << "or the forgeries below are none";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x10;
    const ReadBack back = read_back(pull_from(bytes));
    ASSERT_TRUE(back.error) << i;
    std::uint64_t offset = 0;
    for (const auto& segment : parts.segments) {
      if (segment.offset <= i) offset = segment.offset;
    }
    if (offset > 0) {
      EXPECT_THAT(back.error->message, HasSubstr(fmt::format("byte {}", offset))) << i;
    }
    EXPECT_TRUE(read_back(pull_from(bytes), with_tags()).error) << i;
    bytes[i] ^= 0x10;
  }
}

TEST(RecordingChain, WhatIsRewrittenWithItsSumsIsRefusedByItsTag) {
  const TempFolder folder;
  write_recording(folder / "a");
  write_recording(folder / "b");
  const ReadBack good = read_back(pull_from(read_file(folder / "a").value()), with_tags());
  ASSERT_FALSE(good.error) << good.error->message;
  EXPECT_TRUE(good.complete);
  const Forged original = Forged::take_apart(folder / "a");
  const Forged other = Forged::take_apart(folder / "b");

  Forged forged = original;
  replace_text(forged.segments[3], "line 3", "LINE 3");
  expect_forged(forged.put_together(), original.segments[3].offset, "another text");

  forged = original;
  forged.segments.erase(forged.segments.begin() + 2);
  expect_forged(forged.put_together(), original.segments[2].offset, "a segment left out");

  forged = original;
  std::swap(forged.segments[4], forged.segments[5]);
  expect_forged(forged.put_together(), original.segments[4].offset, "two in another order");

  forged = original;
  forged.segments.insert(forged.segments.begin() + 6, forged.segments[5]);
  expect_forged(forged.put_together(), original.segments[6].offset, "one that comes twice");

  forged = original;
  forged.segments[1] = other.segments[1];
  expect_forged(forged.put_together(), original.segments[1].offset, "one of another recording");

  forged = original;
  const auto at = forged.header_json.find("alice");
  forged.header_json.replace(at, 5, "mallo");
  expect_forged(forged.put_together(), 0, "another user");
}

TEST(RecordingChain, ItsLastSegmentsCanNotBeMadeByWhoComesLater) {
  const TempFolder folder;
  write_recording(folder / "a");
  const Forged original = Forged::take_apart(folder / "a");
  Forged forged = original;  // cut after four segments, and given an end
  forged.segments.erase(forged.segments.begin() + 4, forged.segments.begin() + 8);
  expect_forged(forged.put_together(), original.segments[4].offset, "an end that came earlier");
}

TEST(RecordingChain, ACutTailIsACrashAndWhatIsLeftIsVerified) {
  const TempFolder folder;
  write_recording(folder / "a");
  const Bytes bytes = read_file(folder / "a").value();
  const Forged parts = Forged::take_apart(folder / "a");
  for (const std::size_t size : {parts.segments[3].offset, parts.segments[3].offset + 5, bytes.size() - 1}) {
    const ReadBack back = read_back(pull_from(BytesView(bytes).first(size)), with_tags());
    EXPECT_FALSE(back.error) << size;
    EXPECT_FALSE(back.complete);
    EXPECT_THAT(back.text(EventKind::kOutput), HasSubstr("line 2"));
  }
}

TEST(RecordingChain, TheKeyOfAnotherRecordingOrHubIsNotTakenForItsOwn) {
  const TempFolder folder;
  const Header header = some_header();
  write_recording(folder / "a", {}, header);
  write_recording(folder / "b");
  write_recording(folder / "again", {}, header);  // the same session id: the sealed key opens, and is another one
  const auto header_of = [&](const char* name) { return Reader::open_file(folder / name)->header(); };
  for (const char* from : {"b", "again"}) {
    Forged forged = Forged::take_apart(folder / "a");
    Header swapped = header_of("a");
    swapped.chain_key = header_of(from).chain_key;
    forged.header_json = header_to_json(swapped);
    const auto refused = Reader::open(pull_from(forged.put_together()), with_tags());
    ASSERT_FALSE(refused) << from;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(refused.error().message, HasSubstr("rewritten"));
  }
  const Identity other_hub = Identity::generate();
  const auto refused = Reader::open_file(folder / "a", with_tags(other_hub));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr(to_text(some_hub().recipient())));
}

TEST(RecordingChain, ARecordingNeedsAHub) {
  const TempFolder folder;
  Header header = some_header();
  header.chain_key.recipient = {};
  const auto refused = Writer::create(folder / "a", header, kStart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
}

TEST(RecordingChain, OfAnEncryptedOneIsVerifiedByWhoCanNotReadIt) {
  const TempFolder folder;
  const Recipient recipient = Identity::generate().recipient();
  write_recording(folder / "a", {&recipient, 1});
  Forged forged = Forged::take_apart(folder / "a");
  ReadOptions options = with_tags();
  options.content = ReadOptions::Content::kWhatOpens;
  const Bytes written = read_file(folder / "a").value();
  Reader good = Reader::open(pull_from(written), options).value();
  EXPECT_TRUE(good.authenticates());
  ASSERT_TRUE(verify(good));
  forged.segments.erase(forged.segments.begin() + 2);
  const Bytes bytes = forged.put_together();
  EXPECT_TRUE(verify(pull_from(bytes)));
  Reader reader = Reader::open(pull_from(bytes), options).value();
  EXPECT_THAT(verify(reader).error().message, HasSubstr("rewritten"));
}

TEST(RecordingChain, ASeekVerifiesFromThereOn) {
  const TempFolder folder;
  Writer writer = Writer::create(folder / "a", some_header(), kStart).value();
  std::uint32_t random = 7;
  for (int i = 0; i < 40; ++i) {
    Bytes noise(60'000);
    for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
    ASSERT_TRUE(writer.write(EventKind::kOutput, noise, kStart + std::chrono::seconds(i)));
    ASSERT_TRUE(writer.flush());
  }
  ASSERT_TRUE(writer.finish({}, kStart + 40s));
  Reader reader = Reader::open_file(folder / "a", with_tags()).value();
  for (const auto at : {30s, 10s, 0s, 39s}) {
    ASSERT_TRUE(reader.seek(at));
    const auto first = reader.next();
    ASSERT_TRUE(first && *first) << first.error().message;
    EXPECT_GT((*first)->at, at - 10s);
    EXPECT_TRUE(verify(reader)) << at.count();
    EXPECT_TRUE(reader.complete());
  }
  Forged forged = Forged::take_apart(folder / "a");
  forged.segments[35].block[1000] ^= 1;
  ASSERT_TRUE(write_file(folder / "b", forged.put_together()));
  Reader altered = Reader::open_file(folder / "b", with_tags()).value();
  ASSERT_TRUE(altered.seek(30s));
  const auto found = verify(altered);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr(fmt::format("(byte {})", forged.segments[35].offset)));
}

// The hub keeps what was rewritten as evidence, and says what it is.
class HubsVerdict : public testing::Test {
 protected:
  StoredRecording store(const Header& header, const Bytes& bytes) {
    LocalStorage storage = LocalStorage::open(folder_ / "hub").value();
    storage.set_recording_key(&some_hub());
    const std::string json = header_to_json(header);
    const auto digest = crypto::sha256(bytes);
    const auto receipt = storage.put(header.node_id, {.session_id = header.session_id,
                                                      .offset = 0,
                                                      .data = bytes,
                                                      .last = true,
                                                      .sha256 = digest,
                                                      .header_json = json});
    EXPECT_TRUE(receipt && receipt->verified) << receipt.error().message;
    EXPECT_EQ(storage.read(header.session_id, 0, bytes.size())->data, bytes) << "kept as it came";
    return storage.get(header.session_id).value();
  }
  std::string problem_after_restart(const std::string& session_id) {
    return LocalStorage::open(folder_ / "hub")->get(session_id)->problem;
  }
  TempFolder folder_;
};

TEST_F(HubsVerdict, OnOneThatIsAsItWasWritten) {
  write_recording(folder_ / "a");
  const Header header = Reader::open_file(folder_ / "a")->header();
  const StoredRecording stored = store(header, read_file(folder_ / "a").value());
  EXPECT_TRUE(stored.complete);
  EXPECT_EQ(stored.problem, "");
  EXPECT_TRUE(stored.ended_at);
}

TEST_F(HubsVerdict, OnOneThatWasRewrittenAtItsNode) {
  write_recording(folder_ / "a");
  const Header header = Reader::open_file(folder_ / "a")->header();
  Forged forged = Forged::take_apart(folder_ / "a");
  replace_text(forged.segments[3], "line 3", "LINE 3");
  const StoredRecording stored = store(header, forged.put_together());
  EXPECT_TRUE(stored.complete);
  EXPECT_THAT(stored.problem,
              HasSubstr(fmt::format("rewritten: the tag of the segment (byte {})", forged.segments[3].offset)));
  EXPECT_EQ(problem_after_restart(header.session_id), stored.problem);
}

TEST_F(HubsVerdict, OnOneThatWasMadeForAnotherHub) {
  const Identity other = Identity::generate();
  Header header = some_header();
  header.chain_key.recipient = other.recipient();
  write_recording(folder_ / "a", {}, header);
  header = Reader::open_file(folder_ / "a")->header();
  const StoredRecording stored = store(header, read_file(folder_ / "a").value());
  EXPECT_THAT(stored.problem, HasSubstr(to_text(other.recipient())));
  EXPECT_TRUE(stored.ended_at) << "what its sums say is known";
}

TEST_F(HubsVerdict, OnOneWithAnotherHeaderThanItsUploadBeganWith) {
  write_recording(folder_ / "a");
  Header header = Reader::open_file(folder_ / "a")->header();
  header.user = "bob";
  const StoredRecording stored = store(header, read_file(folder_ / "a").value());
  EXPECT_THAT(stored.problem, HasSubstr("header"));
}

}  // namespace
}  // namespace mezite::recording
