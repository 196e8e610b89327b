// From the hub's disk into an object store that fails in every way: nothing goes before it is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "crypto/hash.hh"
#include "recording/archive.hh"
#include "recording/memory_store.hh"
#include "recording/news.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kOwner = "0f0e0d0c-0b0a-4908-8706-050403020100";

struct ArchiveTest : ::testing::Test {
  TempFolder folder;
  std::unique_ptr<LocalStorage> storage =
      std::make_unique<LocalStorage>(LocalStorage::open(folder / "recordings").value());
  MemoryStore store;
  ManualClock clock{};
  std::mutex mutex;
  News news;  // a recording was moved, or could not be
  std::vector<std::string> errors;

  ArchiveTest() { storage->set_object_store(&store); }

  std::unique_ptr<Archive> start() {
    Archive::Callbacks callbacks;
    callbacks.stored = [this](const StoredRecording&) { news.tell(); };
    callbacks.failed = [this](const StoredRecording&, const Error& error) {
      {
        const std::lock_guard lock(mutex);
        errors.push_back(error.message);
      }
      news.tell();
    };
    return std::make_unique<Archive>(*storage, store, clock, std::move(callbacks), 7);
  }

  // A recording that a node has uploaded.
  std::string upload() {
    const Header header = some_header();
    const auto file = folder / "made";
    Writer writer = Writer::create(file, header, SteadyTime(1h)).value();
    EXPECT_TRUE(writer.write(EventKind::kOutput, as_bytes("hello"), SteadyTime(1h)));
    EXPECT_TRUE(writer.finish({.exit_code = 0}, SteadyTime(1h) + 5s));
    const Bytes bytes = read_file(file).value();
    std::filesystem::remove(file);
    const auto hash = crypto::sha256(bytes);
    const std::string json = header_to_json(header);
    const auto receipt = storage->put(
        kOwner, {.session_id = header.session_id, .data = bytes, .last = true, .sha256 = hash, .header_json = json});
    EXPECT_TRUE(receipt && receipt->verified);
    return header.session_id;
  }

  std::string read_all(const std::string& id) {
    std::uint64_t offset = 0;
    const ReadBack back = read_back([&](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
      MEZ_TRY(const ReadChunk chunk, storage->read(id, offset, buffer.size()));
      std::ranges::copy(chunk.data, buffer.begin());
      offset += chunk.data.size();
      return chunk.data.size();
    });
    EXPECT_TRUE(back.complete) << (back.error ? back.error->message : "");
    return back.text(EventKind::kOutput);
  }

  // What failed may be tried again at once.
  template <class Condition>
  bool wait_for(Archive& archive, Condition condition) {
    return news.wait_for([&] {
      if (condition()) return true;
      clock.advance(10min);
      archive.kick();
      return false;
    });
  }
};

TEST_F(ArchiveTest, MovesAndReadsFromThere) {
  const std::string id = upload();
  auto archive = start();
  ASSERT_TRUE(wait_for(*archive, [&] { return storage->get(id)->archived; }));
  EXPECT_TRUE(wait_for(*archive, [&] { return !std::filesystem::exists(storage->path_of(id)); }));
  EXPECT_EQ(read_all(id), "hello");
  archive.reset();
  // The index knows after a restart.
  storage.reset();
  storage = std::make_unique<LocalStorage>(LocalStorage::open(folder / "recordings").value());
  EXPECT_TRUE(storage->get(id)->archived);
  EXPECT_GT(storage->get(id)->size_bytes, 0U);
  const auto without = storage->read(id, 0, 100);
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error().message, HasSubstr("recording.s3.bucket"));
  storage->set_object_store(&store);
  EXPECT_EQ(read_all(id), "hello");
  ASSERT_TRUE(storage->remove(id));
  EXPECT_TRUE(store.objects.empty());
}

TEST_F(ArchiveTest, AStoreThatIsDownHoldsEverythingBackAndLosesNothing) {
  store.down = true;
  const std::string id = upload();
  auto archive = start();
  ASSERT_TRUE(wait_for(*archive, [&] { return archive->status().failures >= 3; }));
  EXPECT_EQ(read_all(id), "hello");
  EXPECT_EQ(archive->status().waiting, 1U);
  EXPECT_GT(archive->status().waiting_bytes, 0U);
  {
    const std::lock_guard lock(store.mutex);
    store.down = false;
  }
  ASSERT_TRUE(wait_for(*archive, [&] { return storage->get(id)->archived; }));
}

TEST_F(ArchiveTest, OneThatIsRefusedHoldsUpNoOther) {
  const std::string bad = upload(), good = upload(), other = upload();
  store.poisoned.insert(bad);
  auto archive = start();
  ASSERT_TRUE(wait_for(*archive, [&] { return storage->get(good)->archived && storage->get(other)->archived; }));
  EXPECT_FALSE(storage->get(bad)->archived);
  EXPECT_EQ(read_all(bad), "hello");
}

TEST_F(ArchiveTest, ACopyThatWasAlteredOnTheDiskIsNeitherStoredNorRemoved) {
  const std::string id = upload();
  {
    std::fstream file(storage->path_of(id), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file.put('~');
  }
  auto archive = start();
  ASSERT_TRUE(wait_for(*archive, [&] { return archive->status().failures > 0; }));
  archive.reset();
  EXPECT_TRUE(store.objects.empty());
  EXPECT_TRUE(std::filesystem::exists(storage->path_of(id)));
  EXPECT_THAT(errors.front(), HasSubstr("sha256"));
}

TEST_F(ArchiveTest, ARepeatedUploadOfAnArchivedOneIsAcknowledgedByItsHash) {
  const std::string id = upload();
  auto archive = start();
  ASSERT_TRUE(wait_for(*archive, [&] { return storage->get(id)->archived; }));
  const auto size = storage->put(kOwner, {.session_id = id});
  ASSERT_TRUE(size);
  EXPECT_EQ(size->size, storage->get(id)->size_bytes);
  const Bytes right = from_hex(storage->get(id)->sha256).value();
  EXPECT_TRUE(storage->put(kOwner, {.session_id = id, .last = true, .sha256 = right})->verified);
  const Bytes wrong(32, 1);
  EXPECT_EQ(storage->put(kOwner, {.session_id = id, .last = true, .sha256 = wrong}).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace mezite::recording
