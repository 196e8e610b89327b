// Whole files past the page cache: any size, any place, and file systems that can't.
#include "recording/bulk_file.hh"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "recording/examine.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMiB = BulkFile::kPieceBytes;

Bytes noise(std::size_t size, std::uint32_t seed = 7) {
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

Bytes all_of(BulkFile& file, std::uint64_t from = 0) {
  Bytes all;
  for (;;) {
    const auto piece = file.read(from + all.size());
    EXPECT_TRUE(piece) << piece.error().message;
    if (!piece || piece->empty()) return all;
    all.insert(all.end(), piece->begin(), piece->end());
  }
}

// Where the file system of the temporary folder can do it at all.
bool can_direct(const TempFolder& folder) {
  const UniqueFd fd(::open((folder / "probe").c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600));
  return fd.get() >= 0;
}

TEST(BulkFile, ReadsEverySizeFromEveryPlace) {
  const TempFolder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096}, kMiB / 4 - 1,
                                 kMiB / 4, kMiB - 1, kMiB, kMiB + 1, 3 * kMiB + 4097}) {
    const Bytes bytes = noise(size);
    ASSERT_TRUE(write_file(folder / "a", bytes));
    BulkFile file = BulkFile::open(folder / "a").value();
    EXPECT_EQ(file.size().value(), size);
    EXPECT_EQ(all_of(file), bytes) << size;
    EXPECT_EQ(file.passes_cache(), size >= kMiB / 4 && can_direct(folder)) << size;
    for (const std::size_t from : {std::size_t{1}, std::size_t{4095}, std::size_t{4097}, kMiB - 1, kMiB + 4095}) {
      const BytesView rest = BytesView(bytes).subspan(std::min(from, size));
      EXPECT_EQ(all_of(file, from), to_bytes(rest)) << size << " from " << from;
    }
    EXPECT_TRUE(file.read(size + 1)->empty());
    EXPECT_TRUE(file.read(std::uint64_t{1} << 60)->empty());
  }
}

TEST(BulkFile, PiecesEndAtWholeOnesSoThatWhatFollowsIsAligned) {
  const TempFolder folder;
  ASSERT_TRUE(write_file(folder / "a", noise(3 * kMiB)));
  BulkFile file = BulkFile::open(folder / "a").value();
  EXPECT_EQ(file.read(0)->size(), kMiB);
  EXPECT_EQ(file.read(1)->size(), kMiB - 1);
  EXPECT_EQ(file.read(kMiB + 5000)->size(), kMiB - 5000);
  EXPECT_EQ(file.read(5000, 300'000)->size(), 300'000U);
  EXPECT_EQ(file.read(5000, 3)->size(), 3U);
}

TEST(BulkFile, ReadsWhatSomebodyElseIsStillWriting) {
  const TempFolder folder;
  const Bytes bytes = noise(2 * kMiB + 10);
  ASSERT_TRUE(write_file(folder / "a", BytesView(bytes).first(kMiB + 10)));
  BulkFile file = BulkFile::open(folder / "a").value();
  EXPECT_EQ(all_of(file).size(), kMiB + 10);
  std::ofstream(folder / "a", std::ios::app | std::ios::binary) << as_text(BytesView(bytes).subspan(kMiB + 10));
  EXPECT_EQ(all_of(file), bytes) << "what is in the cache only is read as well";
}

TEST(BulkFile, AppendsAnythingInOrder) {
  const TempFolder folder;
  const Bytes bytes = noise(8 * kMiB);
  std::uint64_t at = 0;
  for (const std::size_t size : {kMiB, kMiB, std::size_t{10}, kMiB - 10, kMiB + 4096, 2 * kMiB - 4097, kMiB / 2}) {
    BulkFile file = BulkFile::open(folder / "a", BulkFile::Access::kAppend).value();
    ASSERT_EQ(file.size().value(), at);
    ASSERT_TRUE(file.append(at, BytesView(bytes).subspan(at, size)));
    ASSERT_TRUE(file.sync());
    at += size;
    EXPECT_EQ(all_of(file), to_bytes(BytesView(bytes).first(at)));
  }
  EXPECT_EQ(read_file(folder / "a").value(), to_bytes(BytesView(bytes).first(at)));
  EXPECT_EQ(std::filesystem::status(folder / "a").permissions(), std::filesystem::perms(0600));
}

TEST(BulkFile, FallsBackToTheCacheWhereTheFileSystemCant) {
  // /proc refuses O_DIRECT; its files say that they are empty, so one is read through the cache from the start.
  BulkFile file = BulkFile::open("/proc/self/status").value();
  EXPECT_THAT(std::string(as_text(all_of(file))), testing::HasSubstr("VmRSS"));
  EXPECT_FALSE(file.passes_cache());
}

TEST(BulkFile, SaysWhatCantBeOpened) {
  const TempFolder folder;
  EXPECT_EQ(BulkFile::open(folder / "a").error().code, ErrorCode::kNotFound);
  std::filesystem::create_symlink("/etc/passwd", folder / "link");
  EXPECT_EQ(BulkFile::open(folder / "link").error().code, ErrorCode::kIo);
  EXPECT_EQ(BulkFile::open(folder / "link", BulkFile::Access::kAppend).error().code, ErrorCode::kIo);
}

// A file may grow to so much while this lives, and writes beyond it fail with EFBIG as they do on a full disk.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(BulkFile, AShortWriteIsAnErrorAfterWhatFitted) {
  const TempFolder folder;
  const Bytes bytes = noise(2 * kMiB);
  for (const std::size_t fits : {kMiB + 4096, kMiB + 5000, kMiB + 512}) {
    BulkFile file = BulkFile::open(folder / "a", BulkFile::Access::kAppend).value();
    ASSERT_TRUE(file.append(0, BytesView(bytes).first(kMiB)));
    {
      const FileLimit limit(fits);
      EXPECT_FALSE(file.append(kMiB, BytesView(bytes).subspan(kMiB)));
    }
    EXPECT_GE(file.size().value(), kMiB);
    ASSERT_TRUE(file.truncate(kMiB));
    ASSERT_TRUE(file.append(kMiB, BytesView(bytes).subspan(kMiB)));
    EXPECT_EQ(all_of(file), bytes);
    std::filesystem::remove(folder / "a");
  }
}

TEST(Pieces, OfAFileThatBecomesShorterAreAnError) {
  const TempFolder folder;
  ASSERT_TRUE(write_file(folder / "a", noise(3 * kMiB)));
  BulkFile file = BulkFile::open(folder / "a").value();
  const Pieces pieces = pieces_of(file, 3 * kMiB);
  ASSERT_EQ(pieces()->size(), kMiB);
  std::filesystem::resize_file(folder / "a", kMiB);
  HashedReading reading(pieces);
  EXPECT_EQ(reading.finish().error().code, ErrorCode::kIo);
  std::filesystem::resize_file(folder / "a", 3 * kMiB);
  EXPECT_EQ(reading.finish().error().code, ErrorCode::kIo) << "its hash would be of something else";
}

}  // namespace
}  // namespace mezite::recording
