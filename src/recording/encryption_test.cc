// Recordings that only their recipients can read, and seeking in any recording.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "recording/export.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr SteadyTime kStart{1h};

// `lines` lines of output, one a second, and an end.
void write_recording(const std::filesystem::path& path, int lines, std::span<const Recipient> recipients,
                     std::size_t line_bytes = 20) {
  Writer writer = Writer::create(path, some_header(), kStart, recipients).value();
  for (int i = 0; i < lines; ++i) {
    std::string text = "line " + std::to_string(i) + " ";
    // Not to be compressed: an index has an entry for each 256 KiB of the file.
    std::uint64_t random = static_cast<std::uint64_t>(i) + 1;
    while (text.size() < line_bytes) {
      random = random * 6364136223846793005 + 1442695040888963407;
      text += static_cast<char>(33 + (random >> 33) % 90);
    }
    ASSERT_TRUE(writer.write(EventKind::kOutput, as_bytes(text), kStart + std::chrono::seconds(i)));
    ASSERT_TRUE(writer.flush());
  }
  ASSERT_TRUE(writer.finish({.exit_code = 0}, kStart + std::chrono::seconds(lines)));
}

std::string output_of(Reader& reader) {
  std::string text;
  for (;;) {
    const auto event = reader.next();
    EXPECT_TRUE(event) << event.error().message;
    if (!event || !*event) return text;
    if ((*event)->kind == EventKind::kOutput) text += as_text((*event)->data);
  }
}

TEST(RecordingIdentity, FileComesBackAndNeverShowsTheKeyInErrors) {
  const Identity made = Identity::generate();
  const Secret text = made.file_text(from_unix_millis(1'800'000'000'000));
  const auto read = Identity::parse(text.text());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->recipient(), made.recipient());
  EXPECT_THAT(std::string(text.text()), HasSubstr(to_text(made.recipient())));
  EXPECT_EQ(parse_recipient(to_text(made.recipient())).value(), made.recipient());
  for (const char* bad : {"", "# only a comment\n", "mezite-recording-identity:short",
                          "mezite-recording-identity:AAAA!", "x25519:AAAA", "-----BEGIN PRIVATE KEY-----"}) {
    const auto refused = Identity::parse(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.error().message, HasSubstr("mezctl recordings keygen"));
    EXPECT_EQ(refused.error().message.find("AAAA"), std::string::npos);
  }
}

TEST(RecordingIdentity, RecipientsThatAreNoneAreRefused) {
  const std::string good = to_text(Identity::generate().recipient());
  for (const std::string& bad : {std::string(), good.substr(1), good + "A", good.substr(0, good.size() - 1),
                                 "x25519:" + to_base64url(Bytes(32, 0)), std::string(500, 'x')}) {
    EXPECT_FALSE(parse_recipient(bad)) << bad;
  }
}

TEST(RecordingEncryption, EachRecipientReadsAndNobodyElse) {
  const TempFolder folder;
  const Identity one = Identity::generate(), other = Identity::generate(), stranger = Identity::generate();
  const Recipient recipients[] = {one.recipient(), other.recipient()};
  write_recording(folder / "a", 3, recipients);
  for (const Identity* identity : {&one, &other}) {
    Reader reader = Reader::open_file(folder / "a", {.identity = identity}).value();
    EXPECT_THAT(output_of(reader), testing::StartsWith("line 0"));
    EXPECT_TRUE(reader.complete());
  }
  const Bytes bytes = read_file(folder / "a").value();
  EXPECT_EQ(as_text(bytes).find("line"), std::string_view::npos);

  const auto refused = Reader::open_file(folder / "a", {.identity = &stranger});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr(to_text(one.recipient())));

  Reader without = Reader::open_file(folder / "a").value();
  EXPECT_EQ(without.header().user, "alice");
  const auto event = without.next();
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(event.error().message, HasSubstr("--identity=FILE"));
}

TEST(RecordingEncryption, WhoHoldsItVerifiesItWithoutReadingIt) {
  const TempFolder folder;
  const Recipient recipient = Identity::generate().recipient();
  write_recording(folder / "a", 5, {&recipient, 1});
  const auto verified = verify_file(folder / "a");
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_TRUE(verified->complete);
  EXPECT_FALSE(verified->end);
  EXPECT_EQ(verified->duration, 5s);
  EXPECT_EQ(verified->valid_bytes, std::filesystem::file_size(folder / "a"));
}

TEST(RecordingEncryption, EveryAlteredByteIsFoundWithAndWithoutTheKey) {
  const TempFolder folder;
  const Identity identity = Identity::generate();
  const Recipient recipient = identity.recipient();
  write_recording(folder / "a", 2, {&recipient, 1});
  Bytes bytes = read_file(folder / "a").value();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x20;
    EXPECT_FALSE(verify(pull_from(bytes)) && verify(pull_from(bytes))->complete) << i;
    auto reader = Reader::open(pull_from(bytes), {.identity = &identity});
    bool refused = !reader;
    while (reader && !refused) {
      const auto event = reader->next();
      refused = !event;
      if (event && !*event) break;
    }
    EXPECT_TRUE(refused || !reader->complete()) << i;
    bytes[i] ^= 0x20;
  }
}

// The chain can be made anew by anybody who can write the file; what is sealed can not.
TEST(RecordingEncryption, ABlockMovedToAnotherRecordingDoesNotOpen) {
  const TempFolder folder;
  const Identity identity = Identity::generate();
  const Recipient recipient = identity.recipient();
  const Secret key = crypto::x25519_generate();
  auto sealed = seal_key(key, {&recipient, 1}, "f81d4fae-7dec-41d0-a765-00a0c91e6bf6").value();
  EXPECT_TRUE(open_key(sealed, identity, "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"));
  EXPECT_EQ(open_key(sealed, identity, "f81d4fae-7dec-41d0-a765-00a0c91e6bf7").error().code, ErrorCode::kCorrupt);
  sealed[0].ephemeral = {};
  EXPECT_EQ(open_key(sealed, identity, "f81d4fae-7dec-41d0-a765-00a0c91e6bf6").error().code, ErrorCode::kCorrupt);
}

TEST(RecordingSeek, GoesThroughTheIndexInClearAndEncrypted) {
  const TempFolder folder;
  const Identity identity = Identity::generate();
  const Recipient recipient = identity.recipient();
  write_recording(folder / "clear", 100, {}, 60'000);
  write_recording(folder / "sealed", 100, {&recipient, 1}, 60'000);
  for (const char* name : {"clear", "sealed"}) {
    Reader reader = Reader::open_file(folder / name, {.identity = &identity}).value();
    for (const auto at : {70s, 3s, 99s, 0s, 1000s}) {
      ASSERT_TRUE(reader.seek(at));
      const auto event = reader.next();
      ASSERT_TRUE(event && *event) << name;
      EXPECT_LE((*event)->at, at);
      if (at == 70s || at == 99s) {
        EXPECT_GT((*event)->at, at - 10s) << "an index entry is no more than some 256 KiB away";
      }
      EXPECT_THAT(std::string(as_text((*event)->data)),
                  testing::StartsWith("line " + std::to_string((*event)->at.count() / 1000)));
      output_of(reader);
      EXPECT_TRUE(reader.complete());
    }
  }
}

TEST(RecordingSeek, WithoutAnIndexStartsFromTheBeginning) {
  const TempFolder folder;
  write_recording(folder / "a", 20, {});
  std::filesystem::resize_file(folder / "a", std::filesystem::file_size(folder / "a") - 5);
  Reader reader = Reader::open_file(folder / "a").value();
  output_of(reader);
  ASSERT_TRUE(reader.seek(10s));
  EXPECT_THAT(output_of(reader), testing::StartsWith("line 0"));
  EXPECT_FALSE(reader.complete());
  const Bytes written = read_file(folder / "a").value();
  Reader stream = Reader::open(pull_from(written)).value();
  EXPECT_EQ(stream.seek(1s).error().code, ErrorCode::kFailedPrecondition);
}

TEST(RecordingSeek, AnAlteredIndexIsRefused) {
  const TempFolder folder;
  write_recording(folder / "a", 50, {}, 30'000);
  const auto size = std::filesystem::file_size(folder / "a");
  for (const std::uint64_t back : {130U, 110U, 100U, 70U}) {
    std::fstream file(folder / "a", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(size - back));
    const char was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(size - back));
    file.put(static_cast<char>(was ^ 1));
    file.flush();
    Reader reader = Reader::open_file(folder / "a").value();
    const auto sought = reader.seek(25s);
    EXPECT_TRUE(!sought || !reader.next() || reader.position() < 1s) << back;
    file.seekp(static_cast<std::streamoff>(size - back));
    file.put(was);
  }
}

}  // namespace
}  // namespace mezite::recording
