#include "recording/player.hh"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "base/unique_fd.hh"
#include "recording/output_filter.hh"
#include "recording/play_keys.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string filtered(std::string_view text) {
  OutputFilter filter;
  return filter.push(text);
}

TEST(OutputFilter, DrawingPasses) {
  for (const std::string_view text :
       {"plain \xc3\xa4\r\n\t\b", "\x1b[1;31mred\x1b[0m", "\x1b[2J\x1b[H", "\x1b[?1049h\x1b[?25l", "\x1b(0\x1b(B",
        "\x1b"
        "7\x1b"
        "8",
        "\x1b[4 q", "\x1b[3;10r\x1b[5S"}) {
    EXPECT_EQ(filtered(text), text);
  }
}

// CVE-2003-0063 and its kin: what a terminal answers is read as if somebody had typed it.
TEST(OutputFilter, WhatATerminalAnswersDoesNotPass) {
  for (const std::string_view text : {"\x1b[c",
                                      "\x1b[>c",
                                      "\x1b[=c",
                                      "\x1b[6n",
                                      "\x1b[?6n",
                                      "\x1b[21t",
                                      "\x1b[x",
                                      "\x1b[?1$p",
                                      "\x1b[>q",
                                      "\x1bZ",
                                      "\x05",
                                      "\x1bP$qm\x1b\\",
                                      "\x1b]10;?\x07",
                                      "\x1b]52;c;?\x1b\\",
                                      "\x1b]2;title\x07",
                                      "\x1b_G\x1b\\",
                                      "\x1b[5i",
                                      "\x1b[?1000h",
                                      "\x1b[?2004h",
                                      "\x1b[?1h",
                                      "\x1b[>4;2m",
                                      "\x1b[?u",
                                      "\xc2\x9b"
                                      "6n"}) {
    EXPECT_EQ(filtered(text), "") << testing::PrintToString(text);
  }
  EXPECT_EQ(filtered("\x1b[?1049;1000;25h"), "\x1b[?1049;25h");
}

TEST(OutputFilter, WhatNeverEndsDoesNotSwallowTheRest) {
  EXPECT_TRUE(filtered("\x1b]0;" + std::string(10'000, 'x') + "shown").ends_with("shown"));
  EXPECT_TRUE(filtered("\x1b[" + std::string(10'000, '1') + "mshown").ends_with("shown"));
  OutputFilter filter;
  EXPECT_EQ(filter.push("\x1b[3"), "");
  EXPECT_EQ(filter.push("1mx"), "\x1b[31mx");
}

TEST(OutputFilter, RestoresWhatWasSwitchedOn) {
  OutputFilter filter;
  filter.push("\x1b[?1049h");
  EXPECT_NE(filter.restore().find("\x1b[?1049l"), std::string::npos);
  filter.push("\x1b[?1049l");
  EXPECT_EQ(filter.restore().find("\x1b[?1049l"), std::string::npos);
}

TEST(PlayKeys, SequencesMayComeInPieces) {
  PlayKeys keys;
  EXPECT_EQ(keys.push(" .q"), (std::vector<PlayKeyPress>{{PlayKey::kPause}, {PlayKey::kStep}, {PlayKey::kQuit}}));
  EXPECT_TRUE(keys.push("\x1b").empty());
  EXPECT_TRUE(keys.push("[").empty());
  EXPECT_EQ(keys.push("C\x1bOD"), (std::vector<PlayKeyPress>{{PlayKey::kForward}, {PlayKey::kBack}}));
  EXPECT_EQ(keys.push("\x1b[<0;33;12M7"), (std::vector<PlayKeyPress>{{PlayKey::kTenth, 7}}));  // a mouse is no key
  EXPECT_TRUE(keys.push("\x1b[" + std::string(1000, '1')).empty());
}

class PlayerTest : public testing::Test {
 protected:
  PlayerTest() { ::signal(SIGPIPE, SIG_IGN); }  // as in the programs: it is an error of write(2)

  SteadyTime at(std::int64_t ms) { return SteadyTime(milliseconds(1'000'000 + ms)); }

  Writer writer(Header header = some_header()) {
    path_ = folder_ / (new_uuid() + ".mezrec");
    return std::move(*Writer::create(path_, header, at(0)));
  }

  struct Played {
    Result<PlayEnd> end;
    std::string output;
    milliseconds took{0};
  };
  Played play_file(PlayOptions options) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd in(ends[0]), out(ends[1]);
    std::string output;
    std::thread taker([&] {
      char buffer[65536];
      for (ssize_t got; (got = ::read(in.get(), buffer, sizeof buffer)) > 0;) {
        output.append(buffer, static_cast<std::size_t>(got));
      }
    });
    Reader reader = std::move(*Reader::open_file(path_));
    options.seek = [&reader](milliseconds to) { return reader.seek(to); };
    const auto began = steady_clock::now();
    auto end = play(reader, out.get(), options);
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
    out.reset();
    taker.join();
    return {std::move(end), std::move(output), took};
  }

  TempFolder folder_;
  std::filesystem::path path_;
};

// A clock that jumped, or a file made by hand: 15 years between two events.
TEST_F(PlayerTest, GiantGapsAreShortened) {
  Writer w = writer();
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("before "), at(0)));
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("after"), at(std::int64_t{500'000'000'000})));
  ASSERT_TRUE(w.finish({}, at(std::int64_t{500'000'000'001})));
  const Played played = play_file({.speed = 100, .max_idle = kLongestPause});
  EXPECT_EQ(played.end, PlayEnd::kFinished);
  EXPECT_EQ(played.output, "before after");
  EXPECT_LT(played.took, milliseconds(5'000));
}

TEST_F(PlayerTest, StormsOfResizesAndBadSizesPlay) {
  Header header = some_header();
  header.columns = 65535;
  header.rows = 0;
  Writer w = writer(header);
  for (int i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(w.resize(static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(i * 7), at(0)));
  }
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("\xff\xfe\xc3 end"), at(0)));
  ASSERT_TRUE(w.finish({}, at(1)));
  const Played played = play_file({.speed = 100});
  EXPECT_EQ(played.end, PlayEnd::kFinished);
  EXPECT_EQ(played.output, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd end");
}

TEST_F(PlayerTest, NotANumberIsASpeedOfOne) {
  Writer w = writer();
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("x"), at(1)));
  ASSERT_TRUE(w.finish({}, at(1)));
  EXPECT_EQ(play_file({.speed = std::numeric_limits<double>::quiet_NaN()}).output, "x");
}

TEST_F(PlayerTest, StartsFarIntoALongRecordingByTheIndex) {
  Writer w = writer();
  std::uint64_t noise = 88172645463325252;
  std::int64_t time = 0;
  for (int i = 0; i < 4000; ++i) {  // 40 MiB that does not compress, an hour and more
    std::string line = fmt::format("<{}>", i);
    for (int k = 0; k < 1280; ++k) {
      noise ^= noise << 13;
      noise ^= noise >> 7;
      noise ^= noise << 17;
      line.append(reinterpret_cast<const char*>(&noise), sizeof noise);
    }
    for (char& c : line) c = static_cast<char>((static_cast<unsigned char>(c) % 94) + 33);
    line = fmt::format("line-{}:", i) + line + "\r\n";
    ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes(line), at(time += 1000)));
  }
  ASSERT_TRUE(w.finish({}, at(time)));
  const Played played = play_file({.speed = 100, .max_idle = milliseconds(1), .start = milliseconds(3'990'500)});
  EXPECT_EQ(played.end, PlayEnd::kFinished);
  EXPECT_NE(played.output.find("line-3989:"), std::string::npos);
  EXPECT_NE(played.output.find("line-3999:"), std::string::npos);
  EXPECT_EQ(played.output.find("line-100:"), std::string::npos) << "what is long past is not written";
  EXPECT_LT(played.output.size(), std::size_t{4} << 20);
}

TEST_F(PlayerTest, EndsWhenNobodyReads) {
  Writer w = writer();
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("first"), at(0)));
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("second"), at(60'000)));
  ASSERT_TRUE(w.finish({}, at(60'000)));
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd out(ends[1]);
  ::close(ends[0]);
  Reader reader = std::move(*Reader::open_file(path_));
  EXPECT_EQ(play(reader, out.get(), {}), PlayEnd::kReaderGone);
}

TEST_F(PlayerTest, AnAlteredRecordingIsPlayedUpToTheDamage) {
  Writer w = writer();
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("good"), at(0)));
  ASSERT_TRUE(w.flush());
  const std::uint64_t second = w.size_bytes();
  ASSERT_TRUE(w.write(EventKind::kOutput, as_bytes("bad"), at(1)));
  ASSERT_TRUE(w.finish({}, at(1)));
  Bytes bytes = *read_file(path_);
  bytes[second + 40] ^= 1;
  ASSERT_TRUE(write_file(path_, bytes));
  const Played played = play_file({.speed = 100});
  ASSERT_FALSE(played.end);
  EXPECT_EQ(played.end.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(played.output, "good");
}

}  // namespace
}  // namespace mezite::recording
