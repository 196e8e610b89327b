// Exports, checked with asciinema where it is installed, and the player.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/text.hh"
#include "recording/export.hh"
#include "recording/player.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr SteadyTime kStart{1h};

struct Step {
  EventKind kind;
  std::string_view data;
  std::chrono::milliseconds at{0};
};

void record(const std::filesystem::path& path, std::initializer_list<Step> steps,
            SessionKind kind = SessionKind::kPty) {
  std::filesystem::remove(path);
  Writer writer = Writer::create(path, some_header(kind), kStart).value();
  for (const Step& step : steps) ASSERT_TRUE(writer.write(step.kind, as_bytes(step.data), kStart + step.at));
  ASSERT_TRUE(writer.finish({.exit_code = 0, .signal = ""}, kStart + 10s));
}

std::string asciicast_of(const std::filesystem::path& path, InputEvents input = InputEvents::kLeaveOut) {
  std::string out;
  Reader reader = Reader::open_file(path).value();
  EXPECT_TRUE(export_asciicast(reader, input, [&](std::string_view text) -> Status { return out += text, Status{}; }));
  return out;
}

std::string text_of(const std::filesystem::path& path) {
  std::string out;
  Reader reader = Reader::open_file(path).value();
  EXPECT_TRUE(export_text(reader, [&](std::string_view text) -> Status { return out += text, Status{}; }));
  return out;
}

std::string run(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[4096];
  while (const std::size_t got = ::fread(buffer, 1, sizeof(buffer), pipe)) out.append(buffer, got);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return out;
}

TEST(Export, AsciicastIsPlayedByAsciinema) {
  const TempFolder folder;
  record(folder / "a", {{EventKind::kOutput, "$ h\xc3"},
                        {EventKind::kInput, "secret\r", 5ms},
                        {EventKind::kOutput, "\xa9\x1b[31mred\x1b[0m \xff!\r\n", 10ms}});
  const std::string cast = asciicast_of(folder / "a");
  EXPECT_THAT(cast, HasSubstr("\"version\": 2, \"width\": 80, \"height\": 24, \"timestamp\": 1800000000"));
  EXPECT_THAT(cast, testing::Not(HasSubstr("secret")));
  EXPECT_THAT(asciicast_of(folder / "a", InputEvents::kInclude), HasSubstr("[0.005, \"i\", \"secret\\r\"]"));
  EXPECT_TRUE(is_valid_utf8(cast));
  ASSERT_EQ(std::system("command -v asciinema >/dev/null 2>&1"), 0) << "install asciinema";
  ASSERT_TRUE(write_file(folder / "a.cast", as_bytes(cast)));
  // It wants a terminal to talk to: script(1) gives it one.
  const std::string shown =
      run("LC_ALL=C.UTF-8 script -qec 'asciinema cat " + (folder / "a.cast").native() + "' /dev/null </dev/null");
  EXPECT_THAT(shown, HasSubstr("$ hé\x1b[31mred\x1b[0m \xef\xbf\xbd!\r"));
}

TEST(Export, ACommandsLineFeedsGetTheirCarriageReturns) {
  const TempFolder folder;
  record(folder / "a", {{EventKind::kStdout, "a\nb\n"}, {EventKind::kStderr, "e\n"}}, SessionKind::kExec);
  EXPECT_THAT(asciicast_of(folder / "a"), HasSubstr(R"("o", "a\r\nb\r\n"])"));
  EXPECT_EQ(text_of(folder / "a"), "a\nb\ne\n");
}

TEST(Export, TextIsWhatTheTerminalShowed) {
  const TempFolder folder;
  const auto text = [&](std::string_view output) {
    record(folder / "t", {{EventKind::kOutput, output}});
    return text_of(folder / "t");
  };
  EXPECT_EQ(text("plain\r\n"), "plain\n");
  EXPECT_EQ(text("no end"), "no end\n");
  EXPECT_EQ(text("\x1b[1;32muser\x1b[0m$ ls\r\n"), "user$ ls\n");
  EXPECT_EQ(text("\x1b]0;title\x07x\x1b]2;t\x1b\\y\r\n"), "xy\n");
  EXPECT_EQ(text("10%\r20%\r100%\r\n"), "100%\n");
  EXPECT_EQ(text("lx\b\bs\x1b[K\r\n"), "s\n");
  EXPECT_EQ(text("abc\b\b\x1b[P\r\n"), "ac\n");
  EXPECT_EQ(text("a\tb\r\n"), "a       b\n");
  EXPECT_EQ(text("\x1b(Bx\x1b=y\x1b[?2004hz\r\n"), "xyz\n");
  EXPECT_EQ(text("\xff\xfe\r\n"), "\xef\xbf\xbd\xef\xbf\xbd\n");
}

TEST(Export, TextNeverCarriesAnEscape) {
  const TempFolder folder;
  std::string hostile;
  for (int i = 0; i < 256; ++i) hostile += static_cast<char>(i);
  hostile += "\x1b\x1b[\x1b]\x1bP \xe2\x80\xae rtl \xc2\x9b 31m";
  hostile +=
      "\x1b[999999999C" + std::string(10'000, 'w') + "\x1b[9999999999D\x1b[99999999@" + "\x1b]0;never ended\nnext";
  record(folder / "t", {{EventKind::kOutput, hostile}});
  const std::string text = text_of(folder / "t");
  EXPECT_TRUE(is_valid_utf8(text));
  for (const char c : text) EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  EXPECT_THAT(text, testing::Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(text, testing::Not(HasSubstr("\xe2\x80\xae")));
  EXPECT_THAT(text, HasSubstr("next"));
  EXPECT_LT(text.size(), 100'000U);
}

TEST(Player, KeepsTimeAtASpeedAndSkipsIdleness) {
  const TempFolder folder;
  record(folder / "a", {{EventKind::kOutput, "one"}, {EventKind::kInput, "no", 1s}, {EventKind::kOutput, "two", 8s}});
  int out[2];
  ASSERT_EQ(::pipe(out), 0);
  Reader reader = Reader::open_file(folder / "a").value();
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(play(reader, out[1], {.speed = 10, .max_idle = 1000ms}));
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, 290ms);  // three pauses of a second, ten times as fast
  EXPECT_LT(took, 5s);
  char buffer[16] = {};
  EXPECT_EQ(::read(out[0], buffer, sizeof(buffer)), 6);
  EXPECT_STREQ(buffer, "onetwo");
  ::close(out[0]);
  ::close(out[1]);
}

TEST(Player, ObeysKeys) {
  const TempFolder folder;
  record(folder / "a", {{EventKind::kOutput, "one"}, {EventKind::kOutput, "two", 1h}});
  int out[2], keys[2];
  ASSERT_EQ(::pipe(out), 0);
  ASSERT_EQ(::pipe(keys), 0);
  ASSERT_EQ(::write(keys[1], " .q", 3), 3);  // pause, one step, enough
  Reader reader = Reader::open_file(folder / "a").value();
  ASSERT_TRUE(play(reader, out[1], {.keys_fd = keys[0]}));
  char buffer[16] = {};
  EXPECT_GT(::read(out[0], buffer, sizeof(buffer)), 0);
  EXPECT_TRUE(std::string_view(buffer).starts_with("one"));
  for (const int fd : {out[0], out[1], keys[0], keys[1]}) ::close(fd);
}

}  // namespace
}  // namespace mezite::recording
