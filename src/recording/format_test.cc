// Header, writer and reader: what is written is read back; what was altered is refused; what is torn is cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>

#include "base/text.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr SteadyTime kStart{1h};

TEST(RecordingHeader, ComesBackTheSame) {
  const Header header = some_header(SessionKind::kExec);
  EXPECT_EQ(parse_header(header_to_json(header)).value(), header);
}

TEST(RecordingHeader, HostileTextIsBoundedUtf8) {
  Header header = some_header();
  header.command = std::string(100'000, '\x1b') + "\xff\xfe";
  header.user = "a\xffz";
  header.node = std::string(255, 'n') + "é";
  const std::string json = header_to_json(header);
  EXPECT_TRUE(is_valid_utf8(json));
  EXPECT_EQ(json.find_first_of("\x1b\n"), std::string::npos);
  const auto parsed = parse_header(json);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->command.size(), 32U * 1024);
  EXPECT_EQ(parsed->user, "a?z");
  EXPECT_EQ(parsed->node, std::string(255, 'n'));
}

TEST(RecordingHeader, RefusesWhatIsNotOne) {
  const std::string good = header_to_json(some_header());
  for (const std::string& bad : {std::string("{}"), std::string("[]"), std::string(), std::string(1000, '['),
                                 std::string(300'000, 'a'), std::string(R"({"version":2})"), good + "x"}) {
    EXPECT_FALSE(parse_header(bad)) << bad.substr(0, 50);
  }
  const std::pair<std::string, std::string> changes[] = {{"\"pty\"", "\"tty\""},
                                                         {"\"columns\":80", "\"columns\":70000"},
                                                         {"\"columns\":80", "\"columns\":-1"},
                                                         {"\"alice\"", "7"},
                                                         {"2027-", "x027-"}};
  for (const auto& [from, to] : changes) {
    std::string changed = good;
    ASSERT_NE(changed.find(from), changed.npos) << from;
    changed.replace(changed.find(from), from.size(), to);
    EXPECT_FALSE(parse_header(changed)) << changed;
  }
  for (std::string_view bad : {"", "../../../../etc/passwd/aaaaaaaaaaaaaaaa", "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6",
                               "f81d4fae-7dec-41d0-a765-00a0c91e6bf", "f81d4fae_7dec-41d0-a765-00a0c91e6bf6"}) {
    EXPECT_FALSE(is_session_id(bad)) << bad;
  }
}

TEST(Recording, EveryKindOfEventComesBack) {
  const TempFolder folder;
  const auto path = folder / "a.mezrec";
  const Header header = some_header();
  Writer writer = Writer::create(path, header, kStart).value();
  ASSERT_TRUE(writer.write(EventKind::kOutput, as_bytes("$ "), kStart));
  ASSERT_TRUE(writer.write(EventKind::kInput, as_bytes("ls\r"), kStart + 1500ms));
  ASSERT_TRUE(writer.resize(132, 43, kStart + 1501ms));
  ASSERT_TRUE(writer.write(EventKind::kStdout, as_bytes("\xff\xfe invalid UTF-8 \0"), kStart + 2s));
  ASSERT_TRUE(writer.write(EventKind::kStderr, as_bytes("e"), kStart + 1s));  // a clock that went back
  ASSERT_TRUE(writer.write(EventKind::kStdin, as_bytes("i"), kStart + 3s));
  ASSERT_TRUE(writer.finish({.exit_code = -7, .signal = ""}, kStart + 4s));
  EXPECT_EQ(writer.size_bytes(), std::filesystem::file_size(path));
  const ReadBack back = read_back_file(path);
  ASSERT_FALSE(back.error) << back.error->message;
  EXPECT_TRUE(back.complete);
  ASSERT_EQ(back.events.size(), 7U);
  EXPECT_EQ(back.events[0].at, 0ms);
  EXPECT_EQ(back.events[1].at, 1500ms);
  EXPECT_EQ(back.events[2].columns, 132);
  EXPECT_EQ(as_text(back.events[3].data), "\xff\xfe invalid UTF-8 ");
  EXPECT_EQ(back.events[4].at, 2000ms);
  EXPECT_EQ(back.events[6].end.exit_code, -7);
  Header expected = header;
  expected.chain_key = writer.header().chain_key;  // made for each recording
  EXPECT_EQ(Reader::open_file(path)->header(), expected);
  const Verified verified = verify_file(path).value();
  EXPECT_TRUE(verified.complete);
  EXPECT_EQ(verified.duration, 4000ms);
  EXPECT_FALSE(Writer::create(path, header, kStart));  // never over another
}

// A small file with several segments; gives the size after each flush, in order.
std::vector<std::uint64_t> write_small(const std::filesystem::path& path) {
  std::vector<std::uint64_t> sizes;
  Writer writer = Writer::create(path, some_header(), kStart).value();
  sizes.push_back(writer.size_bytes());
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(writer.write(EventKind::kOutput, as_bytes(fmt::format("line {}\r\n", i)), kStart + i * 1s));
    EXPECT_TRUE(writer.flush());
    sizes.push_back(writer.size_bytes());
  }
  EXPECT_TRUE(writer.finish({.exit_code = 0, .signal = ""}, kStart + 5s));
  return sizes;
}

TEST(Recording, AnAlteredByteAtEveryOffsetIsRefused) {
  const TempFolder folder;
  write_small(folder / "a");
  const Bytes good = read_file(folder / "a").value();
  ASSERT_TRUE(read_back(pull_from(good)).complete);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const std::uint8_t flip : std::to_array<std::uint8_t>({0x01, 0x80, 0xff})) {
      Bytes bad = good;
      bad[at] ^= flip;
      const ReadBack back = read_back(pull_from(bad));
      ASSERT_TRUE(back.error) << "byte " << at;
      EXPECT_EQ(back.error->code, ErrorCode::kCorrupt) << "byte " << at;
      // All that comes before the altered segment is given, nothing of it or after it.
      EXPECT_LE(back.valid_bytes, at);
    }
  }
  Bytes longer = good;
  longer.push_back('x');
  EXPECT_THAT(read_back(pull_from(longer)).error->message, HasSubstr("bytes after the footer"));
}

TEST(Recording, SegmentsThatAreLeftOutSwappedOrRepeatedAreRefused) {
  const TempFolder folder;
  const auto sizes = write_small(folder / "a");
  const Bytes good = read_file(folder / "a").value();
  const auto part = [&](std::size_t from, std::size_t to) { return BytesView(good).subspan(from, to - from); };
  const auto put_together = [](std::initializer_list<BytesView> parts) {
    Bytes all;
    for (const BytesView piece : parts) all.insert(all.end(), piece.begin(), piece.end());
    return all;
  };
  const Bytes cases[] = {put_together({part(0, sizes[1]), part(sizes[2], good.size())}),
                         put_together({part(0, sizes[1]), part(sizes[2], sizes[3]), part(sizes[1], sizes[2])}),
                         put_together({part(0, sizes[2]), part(sizes[1], good.size())}),
                         put_together({part(0, sizes[0]), part(sizes[1], sizes[2])})};
  for (const Bytes& bad : cases) EXPECT_EQ(read_back(pull_from(bad)).error->code, ErrorCode::kCorrupt);
}

TEST(Recording, TornAtEveryLengthGivesAllEarlierSegments) {
  const TempFolder folder;
  const auto sizes = write_small(folder / "a");
  const Bytes good = read_file(folder / "a").value();
  for (std::size_t length = 0; length < good.size(); ++length) {
    const ReadBack back = read_back(pull_from(BytesView(good).first(length)));
    if (length < sizes[0]) {
      EXPECT_TRUE(back.error) << length;  // not even a header
      continue;
    }
    ASSERT_FALSE(back.error) << length << ": " << back.error->message;
    EXPECT_FALSE(back.complete);
    EXPECT_LE(back.valid_bytes, length);
    std::string expected;
    for (std::size_t i = 1; i < sizes.size(); ++i) {
      if (sizes[i] <= length) expected += fmt::format("line {}\r\n", i - 1);
    }
    EXPECT_EQ(back.text(EventKind::kOutput), expected) << length;
    // As some file systems leave it after a power cut.
    Bytes zeros(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    zeros.resize(length + 5000);
    const ReadBack zero_tail = read_back(pull_from(zeros));
    if (std::ranges::count(sizes, length) > 0) {
      EXPECT_FALSE(zero_tail.error) << length;
      EXPECT_EQ(zero_tail.text(EventKind::kOutput), expected) << length;
    }
  }
}

TEST(Recording, RandomBytesAfterAGoodBeginningNeverHarm) {
  const TempFolder folder;
  const auto sizes = write_small(folder / "a");
  const Bytes good = read_file(folder / "a").value();
  std::uint32_t random = 1;
  for (int round = 0; round < 2000; ++round) {
    Bytes bad(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(sizes[1]));
    for (int i = 0; i < 300; ++i) {
      random = random * 1664525 + 1013904223;
      bad.push_back(static_cast<std::uint8_t>(random >> 24));
    }
    EXPECT_TRUE(read_back(pull_from(bad)).error);
  }
}

TEST(Recording, IsWrittenWhenASecondOldOrFull) {
  const TempFolder folder;
  Writer writer = Writer::create(folder / "a", some_header(), kStart).value();
  const auto header_bytes = writer.size_bytes();
  EXPECT_EQ(writer.next_flush(), SteadyTime::max());
  ASSERT_TRUE(writer.write(EventKind::kOutput, as_bytes("x"), kStart + 100ms));
  EXPECT_EQ(writer.next_flush(), kStart + 1100ms);
  ASSERT_TRUE(writer.flush_due(kStart + 1099ms));
  EXPECT_EQ(writer.size_bytes(), header_bytes);
  ASSERT_TRUE(writer.flush_due(kStart + 1100ms));
  EXPECT_GT(writer.size_bytes(), header_bytes);
  const auto before = writer.size_bytes();
  ASSERT_TRUE(writer.write(EventKind::kOutput, Bytes(140'000, 'y'), kStart + 2s));
  EXPECT_GT(writer.size_bytes(), before);
  EXPECT_EQ(read_back_file(folder / "a").text(EventKind::kOutput).substr(0, 4), "xyyy");
}

TEST(Recording, OfManyMegabytesIsReadInConstantMemory) {
  const TempFolder folder;
  Writer writer = Writer::create(folder / "a", some_header(), kStart).value();
  Bytes noise(100'000);
  std::uint32_t random = 7;
  std::uint64_t total = 0;
  for (int i = 0; i < 400; ++i) {
    for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
    ASSERT_TRUE(writer.write(EventKind::kStdout, noise, kStart + i * 10ms));
    total += noise.size();
  }
  ASSERT_TRUE(writer.finish({}, kStart + 5s));
  Reader reader = Reader::open_file(folder / "a").value();
  std::uint64_t got = 0;
  for (;;) {
    const auto event = reader.next();
    ASSERT_TRUE(event);
    if (!*event) break;
    EXPECT_LE((*event)->data.size(), 32U * 1024);
    got += (*event)->data.size();
  }
  EXPECT_EQ(got, total);
  EXPECT_TRUE(reader.complete());
}

TEST(Recording, AFullDiskLeavesWholeSegments) {
  const TempFolder folder;
  const auto path = folder / "a";
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 200'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  Writer writer = Writer::create(path, some_header(), kStart).value();
  Bytes noise(40'000);
  std::uint32_t random = 7;
  Status status;
  int written = 0;
  while (status && written < 100) {
    for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
    status = writer.write(EventKind::kOutput, noise, kStart);
    ++written;
  }
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_FALSE(writer.write(EventKind::kOutput, noise, kStart));  // it stays failed
  EXPECT_EQ(std::filesystem::file_size(path), writer.size_bytes());
  const ReadBack back = read_back_file(path);
  EXPECT_FALSE(back.error);
  EXPECT_GE(back.text(EventKind::kOutput).size(), 100'000U);
}

TEST(Recording, OfAKilledWriterLosesAtMostItsLastSecond) {
  const TempFolder folder;
  for (int round = 0; round < 12; ++round) {
    const auto path = folder / fmt::format("{}", round);
    int progress[2];
    ASSERT_EQ(::pipe(progress), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      // Its own time: an event each 10 ms, and after each flush it says how many are safe.
      auto writer = Writer::create(path, some_header(), kStart);
      std::uint32_t since_flush = 0;
      for (std::uint32_t i = 0; writer; ++i) {
        const SteadyTime now = kStart + i * 10ms;
        const auto before = writer->size_bytes();
        if (!writer->flush_due(now)) ::_exit(1);
        if (writer->size_bytes() != before) {
          if (since_flush > 101) ::_exit(2);
          since_flush = 0;
          if (::write(progress[1], &i, sizeof(i)) != sizeof(i)) ::_exit(3);
        }
        if (!writer->write(EventKind::kOutput, as_bytes(fmt::format("{}\n", i)), now)) ::_exit(4);
        ++since_flush;
      }
      ::_exit(5);
    }
    ::close(progress[1]);
    std::uint32_t safe = 0;
    for (int i = 0; i <= round * 3; ++i) ASSERT_EQ(::read(progress[0], &safe, sizeof(safe)), ssize_t{sizeof(safe)});
    ::kill(child, SIGKILL);
    while (::read(progress[0], &safe, sizeof(safe)) == ssize_t{sizeof(safe)}) continue;
    ::close(progress[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const ReadBack back = read_back_file(path);
    ASSERT_FALSE(back.error) << back.error->message;
    std::string expected;
    for (std::uint32_t i = 0; i < safe; ++i) expected += fmt::format("{}\n", i);
    EXPECT_TRUE(back.text(EventKind::kOutput).starts_with(expected));
  }
}

}  // namespace
}  // namespace mezite::recording
