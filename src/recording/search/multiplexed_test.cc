// What tmux and GNU screen draw, as they drew it on a terminal of 40 columns and 8 rows, shortened.
#include "recording/search/multiplexed.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recording/search/test_support.hh"

namespace mezite::recording {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kTmuxOpens =
    "\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[H\x1b[2J\x1b[?12l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l"
    "\x1b[?1005l\x1b[c\x1b[1;7r\x1b[H";
constexpr std::string_view kStatus = "\x1b[30m\x1b[42m\x1b[8;1H[0] 0:bash*                  \"web\" 10:00\x1b(B\x1b[m";

class MultiplexedTest : public TypedSession {
 protected:
  MultiplexedTest() : TypedSession(header(), 50) {}
  static Header header() {
    Header header = some_header();
    header.columns = 40;
    header.rows = 8;
    return header;
  }

  void line(std::string_view keys, std::string_view answer = "\r\n$ ") {
    echo(keys);
    type("\r");
    show(answer);
  }
  void open_tmux() {
    show(kTmuxOpens);
    show(std::string(kStatus) + "\x1b[1;1H$ ");
  }
};

TEST_F(MultiplexedTest, LinesAtAPrompt) {
  open_tmux();
  line("ls -la");
  echo("whoim");
  type("\x7f\x7f");
  show("\x1b[2D\x1b[K");
  line("ami");
  type("\x1b[A");
  show("ls -la");
  type("\r");
  show("\r\n$ ");
  type("echo at once\r");
  show("echo at once\r\nat once\r\n$ ");
  EXPECT_THAT(found_, ElementsAre("ls -la", "whoami", "ls -la", "echo at once"));
}

TEST_F(MultiplexedTest, TheStatusMayBeDrawnInBetween) {
  open_tmux();
  echo("echo");
  show("\x1b[?25l" + std::string(kStatus) + "\x1b[1;7H\x1b[?25h");
  echo(" hello");
  type("\r");
  show("\x1b[?25l" + std::string(kStatus) + "\x1b[1;13H\x1b[?25h");
  show("\r\nhello\r\n$ ");
  EXPECT_THAT(found_, ElementsAre("echo hello"));
}

TEST_F(MultiplexedTest, KeysMayComeWhileTheStatusIsDrawn) {
  open_tmux();
  show("\x1b[?25l" + std::string(kStatus));
  type("seq 1 3 | less\r");
  show("\x1b[1;3H\x1b[?25h");
  show("seq 1 3 | less\r\n");
  show("\x1b[H\x1b[J1\r\n2\r\n3\r\n\x1b[7m(END)\x1b[27m");
  EXPECT_THAT(found_, ElementsAre("seq 1 3 | less"));
}

TEST_F(MultiplexedTest, KeysDoNotWaitForAProgramThatShowsNoCursor) {
  open_tmux();
  show("\x1b[?25l");
  type("ls\r");
  now_ += std::chrono::milliseconds(300);
  show("ls\r\n$ ");
  echo("date");
  type("\r");
  show("\r\n");
  EXPECT_THAT(found_, ElementsAre("ls", "date"));
}

// A terminal that is drawn on without an end, with lines that never come, must not keep the hub busy.
TEST_F(MultiplexedTest, LooksAreBoundedAndComeBackWithTime) {
  open_tmux();
  line("ls -la");
  const auto show_at_once = [this](std::string_view text) { event(EventKind::kOutput, text, 0); };
  const auto ahead = [&](const std::string& command) {
    type(command + "\r", 0);
    show_at_once("\r\n$ " + command + "\r\nanswer\r\n$ ");
  };
  ahead("echo first");
  ASSERT_THAT(found_, ElementsAre("ls -la", "echo first"));
  std::string moves;
  for (int i = 0; i < 2100; ++i) moves += i % 2 == 0 ? "\x1b[6H" : "\x1b[7H";
  show("\x1b[1;1H" + std::string(40 * 6, 'x'));
  for (int round = 0; round < 16; ++round) {
    for (int lines = 0; lines < 16; ++lines) type("q\r", 0);
    show_at_once(moves);
  }
  show_at_once("\x1b[2J" + std::string(kStatus) + "\x1b[1;1H$ ");
  ahead("echo second");
  EXPECT_THAT(found_, ElementsAre("ls -la", "echo first"));
  now_ += std::chrono::minutes(2);
  show("\r\n$ ");
  ahead("echo third");
  EXPECT_THAT(found_, ElementsAre("ls -la", "echo first", "echo third"));
}

// Each key asks what stands below it: on a large screen, sent by the thousand, that is bounded as well.
TEST_F(MultiplexedTest, KeysAreBoundedAndComeBackWithTime) {
  finder_.take({.at = now_, .kind = EventKind::kResize, .columns = 1000, .rows = 500});
  show(std::string(kTmuxOpens));
  type(std::string(2000, 'q'), 0);
  const auto at_once = [this](const std::string& command) {
    event(EventKind::kOutput, "\x1b[2J\x1b[1;1H$ ", 0);
    event(EventKind::kInput, command, 0);
    event(EventKind::kOutput, command, 0);
    event(EventKind::kInput, "\r", 0);
    event(EventKind::kOutput, "\r\n$ ", 0);
  };
  at_once("echo first");
  EXPECT_THAT(found_, IsEmpty());
  now_ += std::chrono::minutes(2);
  at_once("echo second");
  EXPECT_THAT(found_, ElementsAre("echo second"));
}

// Two panes: what stands on the left of the border is none of the line, and rows are drawn anew instead of scrolled.
TEST_F(MultiplexedTest, PanesBesideEachOther) {
  open_tmux();
  type("\x02");
  type("%");
  for (int row = 1; row < 8; ++row) show("\x1b[" + std::to_string(row) + ";21H\x1b(0x\x1b(B");
  show("\x1b[1;1Hold stuff > here   \x1b[7;22H$ ");
  line("uptime", "\x1b[1;1Hother pane\x1b[6;22H$ uptime\x1b[7;22H\x1b[K$ ");
  echo("echo 4567890123456");
  show("\x1b[6;22H$ echo 456789012345\x1b[7;22H6\x1b[K");
  line("!", "\x1b[5;22H$ echo 456789012345\x1b[6;22H6!\x1b[K\x1b[7;22H\x1b[K$ ");
  type("pasted\r");
  show("\x1b[5;22H$ pasted\x1b[K\x1b[6;22Hout\x1b[K\x1b[7;22H\x1b[K$ ");
  EXPECT_THAT(found_, ElementsAre("uptime", "echo 4567890123456!", "pasted"));
}

// Within margins (DECLRMM) a terminal scrolls one pane alone.
TEST_F(MultiplexedTest, MarginsScrollAPane) {
  open_tmux();
  for (int row = 1; row < 8; ++row) show("\x1b[" + std::to_string(row) + ";21H\xe2\x94\x82");
  show("\x1b[7;22H$ ");
  echo("date");
  show("\x1b[?69h\x1b[22;40s\x1b[1;7r\x1b[7;22H\n\x1b[?69l\x1b[1;8r\x1b[6;28H");
  line("!", "\x1b[7;22H$ ");
  EXPECT_THAT(found_, ElementsAre("date!"));
}

TEST_F(MultiplexedTest, WindowsAreSwitched) {
  open_tmux();
  echo("half");
  type("\x02");
  type("c");
  show("\x1b[H\x1b[K\r\n\x1b[K\x1b[1;1H/srv$ ");
  line("ls");
  type("\x02", 300);
  type("n");
  show("\x1b[H$ half\x1b[K\r\n\x1b[K\x1b[1;7H");
  EXPECT_THAT(found_, ElementsAre("ls"));
}

TEST_F(MultiplexedTest, PasswordsAreNotFound) {
  open_tmux();
  line("sudo -k id", "\r\n[sudo] password for alice: ");
  for (const char& c : std::string_view("hunter2")) type({&c, 1}, 120);
  type("\r");
  show("\r\nuid=0(root)\r\n$ ");
  line("read -s -p 'new> ' X", "\r\nnew> ");  // what asks looks like a prompt
  type("s3cret\r");
  show("$ ");
  line("true");
  line("stars", "\r\nPIN> ");
  for (const char& c : std::string_view("1234")) {
    type({&c, 1});
    show("*");
  }
  type("\r");
  show("\r\n$ ");
  line("echo 1234");
  EXPECT_THAT(found_, ElementsAre("sudo -k id", "read -s -p 'new> ' X", "true", "stars", "echo 1234"));
}

TEST_F(MultiplexedTest, EditorsAndPagersAreNotLookedAt) {
  open_tmux();
  line("vim notes",
       "\x1b[1;1H\x1b[K\x1b[2;1H~\x1b[K\x1b[3;1H~\x1b[K\x1b[4;1H~\x1b[K\x1b[7;1H\"notes\" [New]\x1b[K\x1b[1;1H");
  type("i");
  show("\x1b[7;1H-- INSERT --\x1b[K\x1b[1;1H");
  line("# a comment", "\r\n# ");  // goes on as vim lets comments go on
  line("which looks as if at a prompt", "\r\n$ ");
  line("and so does this", "\r\n");
  type("\x1b");
  type(":wq\r");
  show("\x1b[7;1H:wq");
  show("\x1b[1;1H\x1b[J" + std::string(kStatus) + "\x1b[1;1H$ ");
  line("less /etc/passwd", "\x1b[1;1Hroot\x1b[K\r\nbin\x1b[K\x1b[7;1H:\x1b[K");
  line("/daemon", "\x1b[7;1H:\x1b[K");
  type("q");
  show("\x1b[1;1H\x1b[2J" + std::string(kStatus) + "\x1b[1;1H$ ");
  line("cat > x", "\r\n");
  line("text for a file", "\r\n");
  EXPECT_THAT(found_, ElementsAre("vim notes", "less /etc/passwd", "cat > x"));
}

TEST_F(MultiplexedTest, GivenUpLinesAreNone) {
  open_tmux();
  echo("rm -rf /");
  type("\x03");
  show("^C\r\n$ ");
  line("true");
  EXPECT_THAT(found_, ElementsAre("true"));
}

TEST_F(MultiplexedTest, DetachedAndAttachedAgain) {
  show("web$ ");
  line("tmux", "\r\n");
  open_tmux();
  line("one");
  type("\x02");
  type("d");
  show("\x1b[?1049l\x1b[23;0;0t[detached (from session 0)]\r\nweb$ ");
  line("two", "\r\nweb$ ");
  line("tmux attach", "\r\n");
  open_tmux();
  line("three");
  show("\x1b[?1049l[exited]\r\nweb$ ");
  line("vim", "\r\n");
  show("\x1b[?1049h\x1b[H\x1b[2J$ ");
  line("text that is none");
  show("\x1b[?1049l\r\nweb$ ");
  EXPECT_THAT(found_, ElementsAre("tmux", "one", "two", "tmux attach", "three", "vim"));
}

// The captions of GNU screen's regions are rows in reverse, and other regions stand below.
TEST_F(MultiplexedTest, RegionsOfScreen) {
  show("\x1b[!p\x1b[?3;4l\x1b[4l\x1b>\x1b[?1049h\x1b[22;0;0t\x1b[4l\x1b[?1h\x1b=\x1b[0m\x1b(B\x1b[1;8r\x1b[H\x1b[2J");
  show("\x1b[4;1H\x1b[7m  0 bash                                \r\n\x1b[27mtext of another region\x1b[1;1H$ ");
  line("echo upper");
  EXPECT_THAT(found_, ElementsAre("echo upper"));
}

// One who types for hours at a prompt beside a pane that never rests.
TEST_F(MultiplexedTest, AnotherPaneIsBusy) {
  open_tmux();
  for (int row = 1; row < 8; ++row) show("\x1b[" + std::to_string(row) + ";21H\x1b(0x\x1b(B");
  show("\x1b[3;22H$ ");
  for (int i = 0; i < 2'000; ++i) show("\x1b[2;1Hload " + std::to_string(i) + "\x1b[3;24H");
  line("uptime", "\x1b[4;22H$ ");
  EXPECT_THAT(found_, ElementsAre("uptime"));
}

TEST_F(MultiplexedTest, HostileScreensEnd) {
  open_tmux();
  std::uint64_t random = 1;
  for (int i = 0; i < 2'000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const auto pick = static_cast<std::uint16_t>(random >> 40);
    const std::string number = std::to_string(pick % 50);
    type(i % 5 == 0 ? "\r" : std::string(1, static_cast<char>(pick)), 1);
    if (i % 11 == 0) finder_.take({.at = now_, .kind = EventKind::kResize, .columns = pick, .rows = pick});
    show("\x1b[" + number + ";" + number + std::string(1, static_cast<char>(0x40 + pick % 63)) + "\x1b[?69h$ x\n\x1bM");
    if (i % 100 == 0) show(kTmuxOpens);
  }
  for (const std::string& command : found_) {
    EXPECT_LE(command.size(), kMaxCommandBytes);
    EXPECT_TRUE(std::ranges::none_of(command, [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
  }
  // And it goes on as if nothing had been.
  now_ += std::chrono::minutes(2);
  finder_.take({.at = now_, .kind = EventKind::kResize, .columns = 40, .rows = 8});
  show(
      "\x1b[?1049l\x1b"
      "c");
  found_.clear();
  open_tmux();
  line("ls -la");
  EXPECT_THAT(found_, ElementsAre("ls -la"));
}

TEST(Multiplexers, AreToldByTheCommand) {
  for (const char* command : {"tmux", "/usr/bin/tmux a -t 1", "TERM=xterm exec tmux", "ssh -t web 'tmux attach'",
                              "cd /srv; sudo -u bob tmux", "tmux a || tmux new", "byobu", "zellij attach"}) {
    EXPECT_EQ(multiplexer_in(command), Multiplexer::kTmux) << command;
  }
  for (const char* command : {"screen -dr", "exec screen"}) {
    EXPECT_EQ(multiplexer_in(command), Multiplexer::kScreen) << command;
  }
  for (const char* command :
       {"", "man tmux", "vim .tmux.conf", "less screen", "echo tmux", "tmuxer", "a=tmux", ";;|"}) {
    EXPECT_EQ(multiplexer_in(command), Multiplexer::kNone) << command;
  }
}

TEST(Prompts, AreToldByTheirEnds) {
  for (const char* prompt : {"$", "alice@web:~$", "root@web:/# ", "db=> ", "> ", "web% ", "\u276f ", "\u279c  ~ "}) {
    EXPECT_TRUE(is_prompt(prompt)) << prompt;
  }
  for (const char* text : {"", "Password: ", ":", "text", "(END)", "--More--"}) EXPECT_FALSE(is_prompt(text)) << text;
}

}  // namespace
}  // namespace mezite::recording
