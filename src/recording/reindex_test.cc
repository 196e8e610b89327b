// A hub that has lost its index, and what the files and objects themselves say.
#include "recording/reindex.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "recording/forged.hh"
#include "recording/memory_store.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kOwner = "0f0e0d0c-0b0a-4908-8706-050403020100";

struct ReindexTest : ::testing::Test {
  TempFolder folder;
  std::filesystem::path path = folder / "recordings";
  std::optional<LocalStorage> storage{LocalStorage::open(path).value()};
  MemoryStore store;

  Bytes make(const Header& header) {
    Writer writer = Writer::create(folder / "made", header, SteadyTime(1h)).value();
    std::string output;  // more than the header, and nothing that shrinks
    while (output.size() < 8000) output += new_uuid();
    EXPECT_TRUE(writer.write(EventKind::kOutput, as_bytes(output), SteadyTime(1h)));
    EXPECT_TRUE(writer.finish({.exit_code = 0}, SteadyTime(1h) + 5s));
    Bytes bytes = read_file(folder / "made").value();
    std::filesystem::remove(folder / "made");
    return bytes;
  }
  Result<PutReceipt> put(const Header& header, BytesView bytes, std::size_t from, bool last) {
    const auto hash = crypto::sha256(bytes);
    const auto reader = Reader::open(pull_from(bytes));
    const std::string json = header_to_json(reader ? reader->header() : header);
    return storage->put(kOwner, {.session_id = header.session_id,
                                 .offset = from,
                                 .data = last ? bytes.subspan(from) : bytes.subspan(from, bytes.size() / 2),
                                 .last = last,
                                 .sha256 = last ? BytesView(hash) : BytesView(),
                                 .header_json = json});
  }
  void lose_index() {
    storage.reset();
    std::filesystem::remove(path / "index.jsonl");
    reopen();
  }
  void reopen() {
    storage.reset();
    storage.emplace(LocalStorage::open(path).value());
    storage->set_object_store(&store);
  }
  Status adopt(const std::string& id) {
    MEZ_TRY(const StoredRecording found, examine_file(storage->path_of(id), id, &some_hub()));
    return storage->adopt(found);
  }
};

// Its sums agree, as anyone can make them; its tags do not, as only who has the key can. 0: the header's.
Bytes with_another_tag(BytesView bytes, std::size_t segment) {
  Forged forged = Forged::take_apart(bytes);
  (segment == 0 ? forged.header_tag : forged.segments.at(segment - 1).tag)[0] ^= 1;
  return forged.put_together();
}

TEST_F(ReindexTest, AFileIsWhatItWasBeforeTheIndexWasLost) {
  const Header header = some_header();
  ASSERT_TRUE(put(header, make(header), 0, true));
  const StoredRecording before = storage->get(header.session_id).value();
  EXPECT_TRUE(storage->index_was_missing());
  EXPECT_THAT(storage->unindexed()->session_ids, IsEmpty());
  lose_index();
  EXPECT_TRUE(storage->index_was_missing());
  EXPECT_FALSE(storage->get(header.session_id));
  EXPECT_THAT(storage->unindexed()->session_ids, ElementsAre(header.session_id));
  ASSERT_TRUE(adopt(header.session_id));
  for (int i = 0; i < 2; ++i) {
    const StoredRecording after = storage->get(header.session_id).value();
    EXPECT_EQ(after.header, before.header);
    EXPECT_EQ(after.owner, kOwner);
    EXPECT_EQ(after.sha256, before.sha256);
    EXPECT_EQ(after.ended_at, before.ended_at);
    EXPECT_EQ(after.size_bytes, before.size_bytes);
    EXPECT_TRUE(after.complete);
    EXPECT_FALSE(after.archived);
    EXPECT_EQ(after.problem, "");
    reopen();
    EXPECT_FALSE(storage->index_was_missing());
  }
  EXPECT_EQ(adopt(header.session_id).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(storage->unindexed()->known, 1);
}

TEST_F(ReindexTest, AnUploadThatWasUnderWayGoesOn) {
  const Header header = some_header();
  const Bytes bytes = make(header);
  ASSERT_TRUE(put(header, bytes, 0, false));
  lose_index();
  ASSERT_TRUE(adopt(header.session_id));
  EXPECT_FALSE(storage->get(header.session_id)->complete);
  EXPECT_EQ(storage->put("another node", {.session_id = header.session_id}).error().code, ErrorCode::kPermissionDenied);
  const auto done = put(header, bytes, bytes.size() / 2, true);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->verified);
  EXPECT_TRUE(storage->get(header.session_id)->complete);
}

TEST_F(ReindexTest, AFileThatIsWrittenToIsNotTaken) {
  const Header header = some_header();
  const Bytes bytes = make(header);
  ASSERT_TRUE(put(header, bytes, 0, false));
  lose_index();
  const StoredRecording found =
      examine_file(storage->path_of(header.session_id), header.session_id, &some_hub()).value();
  ASSERT_TRUE(put(header, bytes, 0, true));  // the node sends it again from the start
  EXPECT_EQ(storage->adopt(found).error().code, ErrorCode::kAlreadyExists);
  lose_index();
  EXPECT_EQ(storage->adopt(found).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_FALSE(storage->get(header.session_id)) << "what was not taken is not listed";
  ASSERT_TRUE(adopt(header.session_id));
}

TEST_F(ReindexTest, DamageIsSaidAndWhatIsNobodysIsNotTaken) {
  const Header header = some_header();
  Bytes bytes = make(header);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(write_file(storage->path_of(header.session_id), bytes));
  const auto damaged = examine_file(storage->path_of(header.session_id), header.session_id, &some_hub());
  ASSERT_TRUE(damaged);
  EXPECT_THAT(damaged->problem, HasSubstr("altered"));
  EXPECT_FALSE(damaged->complete);
  bytes[40] ^= 1;
  ASSERT_TRUE(write_file(storage->path_of(header.session_id), bytes));
  EXPECT_EQ(examine_file(storage->path_of(header.session_id), header.session_id, &some_hub()).error().code,
            ErrorCode::kCorrupt);
  const std::string other = new_uuid();
  ASSERT_TRUE(write_file(storage->path_of(other), make(header)));
  EXPECT_THAT(examine_file(storage->path_of(other), other, &some_hub()).error().message, HasSubstr(header.session_id));
  ASSERT_TRUE(write_file(path / "notes.mezrec", bytes));
  ASSERT_TRUE(write_file(path / "x.upload", bytes));
  EXPECT_EQ(storage->unindexed()->session_ids.size(), 2U);
  EXPECT_EQ(examine_file(storage->path_of(new_uuid()), other, &some_hub()).error().code, ErrorCode::kNotFound);
}

// Kept, and shown as altered, as when it has come.
TEST_F(ReindexTest, WhatWasRewrittenIsSaidToBe) {
  const Header header = some_header();
  const std::string& id = header.session_id;
  const Bytes bytes = make(header);
  for (const std::size_t segment : {0U, 1U}) {
    const Bytes rewritten = with_another_tag(bytes, segment);
    ASSERT_TRUE(write_file(storage->path_of(id), rewritten));
    const StoredRecording found = examine_file(storage->path_of(id), id, &some_hub()).value();
    EXPECT_THAT(found.problem, HasSubstr("rewritten"));
    EXPECT_TRUE(found.complete) << "all of it is there";
    EXPECT_EQ(found.ended_at, header.started_at + 5s);
    EXPECT_EQ(found.owner, kOwner);
    EXPECT_EQ(found.sha256, to_hex(crypto::sha256(rewritten)));
    EXPECT_EQ(examine_file(storage->path_of(id), id, nullptr)->problem, "") << "who has no key sees the sums";
    store.objects[id] = rewritten;
    EXPECT_THAT(examine_object(store, id, &some_hub())->problem, HasSubstr("rewritten"));
    EXPECT_EQ(examine_object(store, id, nullptr)->problem, "");
  }
  // The header's tag is verified by what is read of an object anyway.
  store.objects[id] = with_another_tag(bytes, 0);
  store.facts[id] = {.sha256 = to_hex(crypto::sha256(store.objects[id])), .ended_at = header.started_at + 5s};
  EXPECT_THAT(examine_object(store, id, &some_hub())->problem, HasSubstr("header"));
  ASSERT_TRUE(write_file(storage->path_of(id), bytes));
  EXPECT_EQ(examine_file(storage->path_of(id), id, &some_hub())->problem, "");
}

// The node that has the true one must not let it go for what somebody put in its place.
TEST_F(ReindexTest, WhatWasRewrittenIsNoReceiptForTheNodesCopy) {
  const Header header = some_header();
  const Bytes bytes = make(header);
  lose_index();
  ASSERT_TRUE(write_file(storage->path_of(header.session_id), with_another_tag(bytes, 1)));
  ASSERT_TRUE(adopt(header.session_id));
  EXPECT_TRUE(storage->get(header.session_id)->complete);
  const auto asked = storage->put(kOwner, {.session_id = header.session_id});
  ASSERT_TRUE(asked);
  EXPECT_FALSE(asked->verified);
  EXPECT_EQ(put(header, bytes, bytes.size(), true).error().code, ErrorCode::kCorrupt);
}

TEST_F(ReindexTest, OneForAnotherHubIsTakenByItsSums) {
  const Header header = some_header();
  ASSERT_TRUE(write_file(storage->path_of(header.session_id), make(header)));
  const Identity another = Identity::generate();
  const auto found = examine_file(storage->path_of(header.session_id), header.session_id, &another);
  EXPECT_EQ(found->problem, "");
  EXPECT_TRUE(found->complete);
}

TEST_F(ReindexTest, WhatWasRemovedDoesNotComeBack) {
  const Header header = some_header();
  const Bytes bytes = make(header);
  ASSERT_TRUE(put(header, bytes, 0, true));
  ASSERT_TRUE(storage->remove(header.session_id));
  ASSERT_TRUE(write_file(storage->path_of(header.session_id), bytes));  // as if the hub had ended before it was gone
  reopen();
  EXPECT_THAT(storage->unindexed()->session_ids, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(storage->path_of(header.session_id)));
}

TEST_F(ReindexTest, AnObjectIsKnownByItsHeaderAndWhatIsKeptWithIt) {
  const Header header = some_header();
  const Bytes bytes = make(header);
  const std::string hash = to_hex(crypto::sha256(bytes));
  store.objects[header.session_id] = bytes;
  store.facts[header.session_id] = {.sha256 = hash, .ended_at = header.started_at + 5s};
  auto found = examine_object(store, header.session_id, &some_hub());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(store.reads, 0) << "the first bytes say it all";
  EXPECT_EQ(found->sha256, hash);
  EXPECT_EQ(found->ended_at, header.started_at + 5s);
  EXPECT_EQ(found->size_bytes, bytes.size());
  EXPECT_TRUE(found->archived && found->complete);
  ASSERT_TRUE(storage->adopt(*found));
  reopen();
  const auto after = storage->get(header.session_id);
  EXPECT_TRUE(after->archived && after->complete);
  EXPECT_EQ(after->size_bytes, bytes.size());
  EXPECT_EQ(after->sha256, hash);
  ASSERT_TRUE(storage->remove(header.session_id));
  EXPECT_TRUE(store.objects.empty());
}

TEST_F(ReindexTest, AnObjectThatSaysNothingIsReadWhole) {
  const Header header = some_header();
  Bytes bytes = make(header);
  store.objects[header.session_id] = bytes;
  auto found = examine_object(store, header.session_id, &some_hub());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->sha256, to_hex(crypto::sha256(bytes)));
  EXPECT_EQ(found->ended_at, header.started_at + 5s);
  EXPECT_EQ(found->problem, "");
  store.facts[header.session_id].sha256 = std::string(64, '0');
  EXPECT_THAT(examine_object(store, header.session_id, &some_hub())->problem, HasSubstr(std::string(64, '0')));
  bytes[bytes.size() / 2] ^= 1;
  store.objects[header.session_id] = bytes;
  store.facts.clear();
  found = examine_object(store, header.session_id, &some_hub());
  ASSERT_TRUE(found);
  EXPECT_THAT(found->problem, HasSubstr("altered"));
  EXPECT_EQ(found->sha256, to_hex(crypto::sha256(bytes))) << "the hash is of all of it, past the damage";
  store.objects[header.session_id] = to_bytes(as_bytes("not a recording"));
  EXPECT_EQ(examine_object(store, header.session_id, &some_hub()).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace mezite::recording
