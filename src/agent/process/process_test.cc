// Login users, environment, terminals and programs, on the real system.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "agent/process/environment.hh"
#include "agent/process/login_user.hh"
#include "agent/process/spawn.hh"
#include "agent/process/terminal.hh"
#include "agent/testing.hh"

namespace mezite::agent {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

LoginUser self() {
  char buffer[256] = "";
  (void)buffer;
  Ran name = run("id -un");
  name.out.pop_back();
  Result<LoginUser> user = find_login_user(name.out);
  EXPECT_TRUE(user) << user.error().message;
  return *user;
}

struct Outcome {
  std::string out;
  int wait_status = 0;
};

// Runs a program on a pipe (stdout and stderr together) to its end.
Result<Outcome> run_as(const LoginUser& user, const std::string& command, const std::string& pam_service = "",
                       std::vector<std::string> environment = {"PATH=/usr/bin:/bin"}) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  SpawnRequest request{.user = user,
                       .file = "/bin/sh",
                       .arguments = {"sh", "-c", command},
                       .environment = std::move(environment),
                       .stdin_fd = nothing.get(),
                       .stdout_fd = out.get(),
                       .stderr_fd = out.get(),
                       .pam_service = pam_service};
  MEZ_TRY(Spawned spawned, spawn(request));
  out.reset();
  Outcome outcome;
  char chunk[4096];
  ssize_t n;
  while ((n = ::read(in.get(), chunk, sizeof chunk)) > 0) outcome.out.append(chunk, static_cast<std::size_t>(n));
  EXPECT_EQ(::waitpid(spawned.child, &outcome.wait_status, 0), spawned.child);
  return outcome;
}

TEST(LoginUser, UnknownAndHostileNamesAreNotFound) {
  for (std::string_view name : {"no-such-user-here", "", "root:x", "../root", "ro\not"}) {
    Result<LoginUser> user = find_login_user(name);
    ASSERT_FALSE(user) << name;
    EXPECT_EQ(user.error().code, ErrorCode::kNotFound);
  }
  EXPECT_FALSE(find_login_user(std::string_view("root\0x", 6)));
}

TEST(LoginUser, NologinKeepsOthersThanRootOut) {
  ScratchFolder folder;
  LoginUser user{.name = "alice", .uid = 1000};
  std::string path = folder / "nologin";
  EXPECT_TRUE(check_nologin(user, path.c_str()));
  ASSERT_TRUE(write_file(path, as_bytes("Back at noon.\n")));
  Status refused = check_nologin(user, path.c_str());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "Back at noon.");
  EXPECT_TRUE(check_nologin({.name = "root", .uid = 0}, path.c_str()));
}

TEST(Environment, TakesLocaleAndTerminalOnly) {
  EXPECT_TRUE(is_accepted_variable("LANG", "C.UTF-8"));
  EXPECT_TRUE(is_accepted_variable("LC_TIME", "de_DE.UTF-8"));
  EXPECT_TRUE(is_accepted_variable("COLORTERM", "truecolor"));
  for (std::string_view name : {"LD_PRELOAD", "PATH", "LC_", "LC_a=b", "BASH_ENV", "MEZITE_SESSION_ID", "LANGUAGE"}) {
    EXPECT_FALSE(is_accepted_variable(name, "x")) << name;
  }
  EXPECT_FALSE(is_accepted_variable("LANG", std::string(5000, 'x')));
  EXPECT_FALSE(is_accepted_variable("LANG", "a\nb"));
}

TEST(Environment, IsMadeFromNothing) {
  LoginUser user{.name = "alice", .uid = 1000, .gid = 1000, .home = "/home/alice", .shell = "/bin/zsh"};
  SessionFacts facts{.session_id = "id-1",
                     .client = {"203.0.113.7", 50122},
                     .server = {"10.0.0.1", 3022},
                     .term = "xterm",
                     .tty_path = "/dev/pts/3"};
  std::vector<std::string> made = session_environment(user, facts, {{"LANG", "C"}, {"TERM", "other"}});
  EXPECT_THAT(made, testing::IsSupersetOf({"USER=alice", "LOGNAME=alice", "HOME=/home/alice", "SHELL=/bin/zsh",
                                           "TERM=xterm", "SSH_TTY=/dev/pts/3", "LANG=C", "MEZITE_SESSION_ID=id-1",
                                           "SSH_CLIENT=203.0.113.7 50122 3022",
                                           "SSH_CONNECTION=203.0.113.7 50122 10.0.0.1 3022"}));
  EXPECT_THAT(made, Contains(StartsWith("PATH=/")));
  EXPECT_THAT(made, Not(Contains("TERM=other")));
}

TEST(Environment, PathIsThatOfLoginDefs) {
  ScratchFolder folder;
  std::string path = folder / "login.defs";
  ASSERT_TRUE(write_file(path, as_bytes("# ENV_PATH PATH=/no\nENV_SUPATH\tPATH=/su\nENV_PATH PATH=/a:/b\n")));
  EXPECT_EQ(default_path(1000, path.c_str()), "/a:/b");
  EXPECT_EQ(default_path(0, path.c_str()), "/su");
  EXPECT_THAT(default_path(1000, "/nonexistent"), HasSubstr("/usr/bin"));
}

TEST(Terminal, HasTheModesAndTheSizeOfTheRequest) {
  ssh::PtyRequest request{
      .term = "xterm", .size = {.columns = 97, .rows = 31}, .modes = {{3, 8}, {53, 0}, {1, 255}, {42, 1}, {250, 9}}};
  Result<Terminal> terminal = open_terminal(request, self());
  ASSERT_TRUE(terminal) << terminal.error().message;
  EXPECT_THAT(terminal->path, StartsWith("/dev/pts/"));
  termios settings{};
  ASSERT_EQ(::tcgetattr(terminal->slave.get(), &settings), 0);
  EXPECT_EQ(settings.c_cc[VERASE], 8);
  EXPECT_EQ(settings.c_lflag & ECHO, 0u);
  EXPECT_EQ(settings.c_cc[VINTR], static_cast<cc_t>(_POSIX_VDISABLE));
  EXPECT_NE(settings.c_iflag & IUTF8, 0u);
  winsize size{};
  ASSERT_EQ(::ioctl(terminal->slave.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_col, 97);
  EXPECT_EQ(size.ws_row, 31);
  // Absurd sizes are cut, not wrapped around.
  ASSERT_TRUE(resize_terminal(terminal->master.get(), {.columns = 70000, .rows = 4294967295u}));
  ASSERT_EQ(::ioctl(terminal->slave.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_col, 65535);
  EXPECT_EQ(size.ws_row, 65535);
}

TEST(Spawn, GivesExitCodesAndSignals) {
  Result<Outcome> ended = run_as(self(), "exit 42");
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(WEXITSTATUS(ended->wait_status), 42);
  ended = run_as(self(), "kill -KILL $$");
  ASSERT_TRUE(ended);
  EXPECT_TRUE(WIFSIGNALED(ended->wait_status));
  EXPECT_EQ(WTERMSIG(ended->wait_status), SIGKILL);
}

TEST(Spawn, ProgramStartsClean) {
  // Descriptors, signals and environment of this process do not reach it.
  UniqueFd leaked(::open("/dev/null", O_RDONLY));
  UniqueFd high(::fcntl(leaked.get(), F_DUPFD, 200));
  ::setenv("MEZITE_TEST_SECRET", "x", 1);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t block;
  sigset_t before;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &block, &before);
  Result<Outcome> ended = run_as(self(),
                                 "ls /proc/self/fd | tr '\\n' ' '; env; grep -E 'Sig(Blk|Ign)' /proc/self/status; "
                                 "umask; ps -o sid= -p $$; echo $$");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::unsetenv("MEZITE_TEST_SECRET");
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_THAT(ended->out, StartsWith("0 1 2 3 "));  // 3 is ls looking
  EXPECT_THAT(ended->out, Not(HasSubstr("200")));
  EXPECT_THAT(ended->out, Not(HasSubstr("SECRET")));
  EXPECT_THAT(ended->out, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(ended->out, HasSubstr("SigIgn:\t0000000000000000"));
  EXPECT_THAT(ended->out, HasSubstr("0022"));
}

TEST(Spawn, AProgramThatIsNotThereIsAnError) {
  LoginUser user = self();
  UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  SpawnRequest request{.user = user,
                       .file = "/no/such/shell",
                       .arguments = {"shell"},
                       .stdin_fd = nothing.get(),
                       .stdout_fd = nothing.get(),
                       .stderr_fd = nothing.get()};
  Result<Spawned> spawned = spawn(request);
  ASSERT_FALSE(spawned);
  EXPECT_THAT(spawned.error().message, AllOf(HasSubstr("/no/such/shell"), HasSubstr("No such file")));
}

TEST(Spawn, HomeThatIsNotThereBecomesRoot) {
  LoginUser user = self();
  user.home = "/no/such/home";
  Result<Outcome> ended = run_as(user, "pwd");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->out, "/\n");
}

TEST(Spawn, RunsAsTheLoginUserForGood) {
  ScratchUser scratch;
  if (!scratch.valid()) GTEST_SKIP() << "needs root";
  Result<LoginUser> user = find_login_user(scratch.name());
  ASSERT_TRUE(user) << user.error().message;
  Result<Outcome> ended = run_as(*user,
                                 "id -un; id -Gn; id -ru; pwd; grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status; "
                                 "test -w /etc/passwd && echo root");
  ASSERT_TRUE(ended) << ended.error().message;
  std::string id = std::to_string(user->uid);
  EXPECT_THAT(ended->out,
              StartsWith(scratch.name() + "\n" + scratch.name() + "\n" + id + "\n" + scratch.home() + "\n"));
  EXPECT_THAT(ended->out, HasSubstr("Uid:\t" + id + "\t" + id + "\t" + id + "\t" + id));
  EXPECT_THAT(ended->out, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(ended->out, Not(HasSubstr("root")));
}

TEST(Spawn, GroupsAreThoseOfTheMomentItStarts) {
  ScratchUser scratch;
  if (!scratch.valid()) GTEST_SKIP() << "needs root";
  Result<LoginUser> user = find_login_user(scratch.name());
  ASSERT_TRUE(user) << user.error().message;
  ASSERT_EQ(run("gpasswd -a " + scratch.name() + " games").exit_code, 0);
  Result<Outcome> ended = run_as(*user, "id -Gn");
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->out, scratch.name() + " games\n");
}

TEST(Spawn, PamSessionIsAroundTheProgram) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ScratchUser scratch;
  ASSERT_TRUE(scratch.valid());
  Result<LoginUser> user = find_login_user(scratch.name());
  ASSERT_TRUE(user);
  ScratchFolder folder;
  ASSERT_EQ(::chmod(folder.str().c_str(), 0777), 0);
  std::string service = "mezt" + std::to_string(::getpid());
  std::string file = "/etc/pam.d/" + service;
  std::string note = folder / "closed";
  ASSERT_TRUE(write_file(folder / "env", as_bytes("FROM_PAM=yes\n"), 0644));
  ASSERT_TRUE(write_file(file,
                         as_bytes("account required pam_permit.so\n"
                                  "session required pam_env.so envfile=" +
                                  (folder / "env").string() +
                                  " readenv=1\n"
                                  "session required pam_exec.so type=close_session /usr/bin/touch " +
                                  note +
                                  "\n"
                                  "session required pam_permit.so\n"),
                         0644));
  Result<Outcome> ended = run_as(*user, "echo pam=$FROM_PAM; id -un; kill -TERM $$", service);
  std::filesystem::remove(file);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->out, "pam=yes\n" + scratch.name() + "\n");
  EXPECT_TRUE(WIFSIGNALED(ended->wait_status)) << ended->wait_status;
  EXPECT_EQ(WTERMSIG(ended->wait_status), SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(note)) << "the PAM session was closed";

  ASSERT_TRUE(write_file(file, as_bytes("account required pam_deny.so\nsession required pam_permit.so\n"), 0644));
  ended = run_as(*user, "echo in", service);
  std::filesystem::remove(file);
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message, HasSubstr("PAM refuses the account"));
}

TEST(Signals, NamesAreThoseOfTheRfc) {
  EXPECT_EQ(signal_number("INT"), SIGINT);
  EXPECT_EQ(signal_number("KILL"), SIGKILL);
  EXPECT_EQ(signal_number("SIGINT"), 0);
  EXPECT_EQ(signal_number("nonsense@example.com"), 0);
  EXPECT_EQ(signal_name(SIGTERM), "TERM");
  EXPECT_EQ(signal_name(SIGSYS), "SIG31@mezite.com");
}

}  // namespace
}  // namespace mezite::agent
