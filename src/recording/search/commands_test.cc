#include "recording/search/commands.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recording/search/test_support.hh"

namespace mezite::recording {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CommandsTest : public TypedSession {
 protected:
  CommandsTest() : TypedSession(some_header(), 10) {}

  void enter() {
    type("\r");
    show("\r\n");
  }
};

TEST_F(CommandsTest, TypedLines) {
  show("alice@web:~$ ");
  echo("ls -la /tmp");
  enter();
  show("total 0\r\nalice@web:~$ ");
  enter();  // Enter alone
  show("alice@web:~$ ");
  echo("whoami");
  enter();
  EXPECT_THAT(found_, ElementsAre("ls -la /tmp", "whoami"));
}

TEST_F(CommandsTest, EditingCountsAsItWasSeen) {
  show("$ ");
  echo("lss");
  type("\x7f");
  show("\b\x1b[K");
  echo(" /etc");
  type("\x01");  // to the beginning of the line
  show("\b\b\b\b\b\b\b");
  type("s");
  show("\x1b[1@s");
  type("u");
  show("\x1b[1@u");
  enter();
  EXPECT_THAT(found_, ElementsAre("suls /etc"));
}

TEST_F(CommandsTest, HistoryCompletionAndSearch) {
  show("$ ");
  type("\x1b[A");
  show("make test");
  enter();
  show("$ ");
  echo("cat /etc/host");
  type("\t");
  show("name ");
  enter();
  show("$ ");
  type("\x12");
  show("\r(reverse-i-search)`': ");
  type("rm");
  show("\b\b\brm': rm -rf /srv/old");
  type("\r");
  show("\r\x1b[K$ rm -rf /srv/old\r\n");
  EXPECT_THAT(found_, ElementsAre("make test", "cat /etc/hostname", "rm -rf /srv/old"));
}

TEST_F(CommandsTest, LongLinesAreWrapped) {
  show("$ ");
  const std::string line = "echo " + std::string(200, 'x') + " end";
  echo(line);
  enter();
  EXPECT_THAT(found_, ElementsAre(line));
}

// Input without echo is a password, whatever the screen says afterwards.
TEST_F(CommandsTest, PasswordsAreNotFound) {
  show("$ ");
  echo("sudo -k id");
  enter();
  show("[sudo] password for alice: ");
  for (const char& c : std::string_view("hunter2")) type({&c, 1}, 120);
  type("\r");
  show("\r\nuid=0(root)\r\n$ ");
  echo("read -s X");
  enter();
  type("s3cret\r");
  show("$ ");  // read -s goes on in the same line
  echo("echo done");
  enter();
  show("got s3cret\r\n$ ");
  type("hunter2\r");  // pasted at a prompt without echo, which then says something else
  show("Welcome hunter2\r\n$ ");
  for (const std::string& text : found_) {
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
    EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
  }
  EXPECT_THAT(found_, ElementsAre("sudo -k id", "read -s X", "echo done"));
}

TEST_F(CommandsTest, StarsForAPasswordAreNoEcho) {
  show("Password: ");
  for (const char& c : std::string_view("hunter2")) {
    type({&c, 1});
    show("*");
  }
  enter();
  EXPECT_THAT(found_, IsEmpty());
}

TEST_F(CommandsTest, FullScreenProgramsAreNotLookedAt) {
  show("$ ");
  echo("vim x");
  enter();
  show("\x1b[?1049h\x1b[2J\x1b[H~\r\n~");
  type("i");
  echo("rm -rf / is what I write");
  enter();
  type("\x1b:wq\r");
  show("\x1b[?1049l");
  show("$ ");
  echo("ls");
  enter();
  EXPECT_THAT(found_, ElementsAre("vim x", "ls"));
}

TEST_F(CommandsTest, PastedLinesAndTypingAhead) {
  show("$ ");
  type("first\rsecond\r");
  show("first\r\nout\r\n$ second\r\n");
  show("$ ");
  type("\x1b[200~pasted text\x1b[201~");
  show("pasted text");
  enter();
  EXPECT_THAT(found_, ElementsAre("first", "second", "pasted text"));
}

TEST_F(CommandsTest, GivenUpLinesAreNone) {
  show("$ ");
  echo("rm -rf /");
  type("\x03");
  show("^C\r\n$ ");
  echo("true");
  enter();
  EXPECT_THAT(found_, ElementsAre("true"));
}

TEST_F(CommandsTest, AfterMegabytesOfOutput) {
  show("$ ");
  echo("yes");
  enter();
  for (int i = 0; i < 200; ++i) show(std::string(32 * 1024, 'y') + "\r\n");
  type("\x03");
  show("^C\r\n$ ");
  echo("uptime");
  enter();
  EXPECT_THAT(found_, ElementsAre("yes", "uptime"));
}

TEST_F(CommandsTest, WideCharactersAndColouredPrompts) {
  show("\x1b]0;title\x07\x1b[01;32mu\x1b[00m:\x1b[34m~\x1b[00m$ ");
  for (const std::string_view c : {"e", "c", "h", "o", " ", "\xe6\x97\xa5", "\xe6\x9c\xac", "x"}) {
    type(c);
    show(c);
  }
  type("\x7f");
  show("\b\x1b[K");
  enter();
  EXPECT_THAT(found_, ElementsAre("echo \xe6\x97\xa5\xe6\x9c\xac"));
}

TEST_F(CommandsTest, HostileScreensEnd) {
  std::uint64_t random = 1;
  for (int i = 0; i < 20'000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const auto pick = static_cast<std::uint16_t>(random >> 40);
    const std::string number = std::to_string(pick);
    if (i % 7 == 0) type(std::string(1, static_cast<char>(pick)));
    if (i % 11 == 0) finder_.take({.at = now_, .kind = EventKind::kResize, .columns = pick, .rows = pick});
    show("\x1b[" + number + std::string(1, static_cast<char>(0x40 + pick % 63)) + "\xe6\x97\xa5x\n\x1b[500L\x1bM");
  }
  SUCCEED();
}

TEST(FindCommands, OfAnExecIsWhatItWasStartedWith) {
  TempFolder folder;
  Header header = some_header(SessionKind::kExec);
  header.command = "systemctl restart\tnginx";
  Writer writer = std::move(*Writer::create(folder / "x.mezrec", header, SteadyTime{}));
  ASSERT_TRUE(writer.write(EventKind::kStdout, as_bytes("$ not a command\n"), SteadyTime{}));
  ASSERT_TRUE(writer.finish({}, SteadyTime{}));
  Reader reader = std::move(*Reader::open_file(folder / "x.mezrec"));
  std::vector<std::string> found;
  ASSERT_TRUE(find_commands(reader, [&](Command command) { found.push_back(command.text); }));
  EXPECT_THAT(found, ElementsAre("systemctl restart nginx"));
}

}  // namespace
}  // namespace mezite::recording
