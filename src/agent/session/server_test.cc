// The node's SSH server with stock OpenSSH as the client.
#include "agent/session/server.hh"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>

#include <fstream>

#include "agent/process/spawn.hh"
#include "agent/process/terminal.hh"
#include "agent/session/testing.hh"
#include "base/log.hh"
#include "recording/reader.hh"

namespace mezite::agent {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ServerTest : public testing::Test {
 protected:
  ServerTest() { log::set_level(log::Level::kError); }

  std::string logins(const std::string& more = "") { return "[\"" + own_name() + "\"" + more + "]"; }
  void give_role(TestNode& node, const std::string& options = "{}", std::int64_t revision = 1) {
    node.snapshots.put(cluster.snapshot({TestCluster::role("dev", logins(), options)}, revision));
  }
  std::vector<recording::Event> events_of(TestNode& node, const std::string& session_id) {
    std::vector<recording::Event> events;
    auto reader = recording::Reader::open_file(node.spool().path_of(session_id));
    EXPECT_TRUE(reader) << reader.error().message;
    if (!reader) return events;
    header = reader->header();
    for (;;) {
      auto event = reader->next();
      EXPECT_TRUE(event) << event.error().message;
      if (!event || !*event) break;
      events.push_back(**event);
    }
    EXPECT_TRUE(reader->complete());
    return events;
  }
  static std::string text_of(const std::vector<recording::Event>& events, recording::EventKind kind) {
    std::string text;
    for (const recording::Event& event : events) {
      if (event.kind == kind) text += to_text(event.data);
    }
    return text;
  }

  TestCluster cluster;
  recording::Header header;
};

TEST_F(ServerTest, RunsACommandAndTellsItsStory) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  Ran ran = run(node.ssh(identity) + shell_quote("echo out; echo err >&2; exit 42"));
  EXPECT_EQ(ran.exit_code, 42);
  EXPECT_EQ(ran.out, "out\n");
  EXPECT_EQ(ran.err, "err\n");

  audit::Event start = node.events.wait("session.start");
  EXPECT_EQ(start.event_code, "T2000I");
  EXPECT_EQ(start.user_name, "alice");
  EXPECT_THAT(start.user_roles, testing::ElementsAre("dev"));
  EXPECT_EQ(start.client_ip, "192.0.2.7");
  EXPECT_EQ(start.resource_name, "web-01");
  EXPECT_EQ(start.server_id, "node-1");
  audit::Event command = node.events.wait("session.command");
  EXPECT_THAT(command.details, AllOf(HasSubstr("echo out"), HasSubstr("\"exit_code\":42")));
  audit::Event end = node.events.wait("session.end");
  EXPECT_EQ(end.session_id, start.session_id);
  EXPECT_THAT(end.details, AllOf(HasSubstr("\"exit_code\":42"), HasSubstr("\"bytes_out\":8")));

  ASSERT_TRUE(node.wait_recordings(1));
  std::vector<recording::Event> recorded = events_of(node, start.session_id);
  EXPECT_EQ(header.kind, recording::SessionKind::kExec);
  EXPECT_EQ(header.user, "alice");
  EXPECT_EQ(text_of(recorded, recording::EventKind::kStdout), "out\n");
  EXPECT_EQ(text_of(recorded, recording::EventKind::kStderr), "err\n");
  EXPECT_EQ(recorded.back().end.exit_code, 42);
}

TEST_F(ServerTest, ExitCodesAreTheProgramsOwn) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  for (int code : {0, 1, 255}) {
    EXPECT_EQ(run(node.ssh(identity) + shell_quote("exit " + std::to_string(code))).exit_code, code);
  }
  EXPECT_EQ(run(node.ssh(identity) + shell_quote("kill -TERM $$")).exit_code, 255);
  EXPECT_THAT(node.events.wait("session.end", 3).details, HasSubstr("\"signal\":\"TERM\""));
  EXPECT_EQ(run(node.ssh(identity) + shell_quote("exec nothing-of-this-name")).exit_code, 127);
}

TEST_F(ServerTest, BulkGoesThroughIntactBothWaysAndIntoTheRecording) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  ScratchFolder folder;
  std::string file = folder / "bulk";
  ASSERT_EQ(run("head -c 104857600 /dev/urandom > " + file).exit_code, 0);
  std::string digest = run("sha256sum < " + file).out;
  Ran ran = run(node.ssh(identity) + "sha256sum", file);
  EXPECT_EQ(ran.out, digest) << ran.err;
  // Re-keying in the middle of bulk data in both directions: output that fills up while keys are exchanged must not
  // keep the messages that end the exchange from being read.
  for (int i = 0; i < 2; ++i) {
    ran = run(node.ssh(identity, "-o RekeyLimit=4M") + "cat | sha256sum", file);
    EXPECT_EQ(ran.out, digest) << ran.err;
  }
  ASSERT_TRUE(node.wait_recordings(3));
  std::vector<recording::Event> recorded = events_of(node, node.events.wait("session.start", 2).session_id);
  std::ifstream sent(file, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(sent), {});
  EXPECT_TRUE(text_of(recorded, recording::EventKind::kStdin) == bytes);
  EXPECT_TRUE(text_of(recorded, recording::EventKind::kStdout) == bytes);
}

TEST_F(ServerTest, OutputIsDrainedBeforeTheEnd) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  // The program is gone long before a slow reader has seen all of its output.
  Ran ran = run(node.ssh(identity) + shell_quote("head -c 3000000 /dev/zero; exit 3") + " | (sleep 0.3; wc -c)");
  EXPECT_EQ(run("echo " + shell_quote(ran.out)).out, "3000000\n\n");
}

TEST_F(ServerTest, EnvironmentIsClean) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  ::setenv("MEZITE_TEST_LEAK", "x", 1);
  Ran ran = run("LC_TEST=yes EVIL=no " +
                node.ssh(identity, "-o SendEnv=LC_TEST -o SendEnv=EVIL -o SetEnv=LD_PRELOAD=x") + "env");
  ::unsetenv("MEZITE_TEST_LEAK");
  EXPECT_THAT(ran.out, HasSubstr("LC_TEST=yes\n"));
  EXPECT_THAT(ran.out, Not(HasSubstr("EVIL")));
  EXPECT_THAT(ran.out, Not(HasSubstr("LD_PRELOAD")));
  EXPECT_THAT(ran.out, Not(HasSubstr("MEZITE_TEST_LEAK")));
  EXPECT_THAT(ran.out, HasSubstr("SSH_CONNECTION=192.0.2.7 50122 127.0.0.1"));
  EXPECT_THAT(ran.out, HasSubstr("MEZITE_SESSION_ID="));
}

TEST_F(ServerTest, ServesTheLoginUser) {
  ScratchUser scratch;
  if (!scratch.valid()) GTEST_SKIP() << "needs root";
  TestNode node(cluster);
  node.snapshots.put(cluster.snapshot({TestCluster::role("dev", "[\"" + scratch.name() + "\"]")}));
  std::string identity = cluster.user({.principals = scratch.name()});
  Ran ran = run(node.ssh(identity, "", scratch.name()) + shell_quote("id -un; pwd; echo $HOME $SHELL"));
  EXPECT_EQ(ran.out, scratch.name() + "\n" + scratch.home() + "\n" + scratch.home() + " /bin/bash\n") << ran.err;
  // The terminal is the user's own, as the login shell finds it.
  ran = run(node.ssh(identity, "-tt", scratch.name()) + shell_quote("stat -c '%U %G %a' $(tty)"));
  EXPECT_THAT(ran.out, HasSubstr(scratch.name() + " tty 620"));
  ran = run("printf 'echo $0; shopt -q login_shell && echo login; exit 5\\n' | " +
            node.ssh(identity, "-T", scratch.name()));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("-bash"), HasSubstr("login")));
  EXPECT_EQ(ran.exit_code, 5);
}

TEST_F(ServerTest, SftpAndScpCopyFiles) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  ScratchFolder folder;
  std::string from = folder / "from";
  std::string to = folder / "to";
  ASSERT_EQ(run("head -c 2000000 /dev/urandom > " + from).exit_code, 0);
  std::string options = node.ssh(identity);
  options = options.substr(4, options.find(" -p ") - 4);
  std::string scp = "scp -q " + options + " -P " + std::to_string(node.port()) + " ";
  std::string target = own_name() + "@127.0.0.1:" + to;
  for (std::string mode : {"", "-O "}) {
    Ran ran = run(scp + mode + from + " " + target);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_EQ(slurp(from), slurp(to));
    std::filesystem::remove(to);
  }
  EXPECT_THAT(node.events.wait("session.start").details, HasSubstr("\"subsystem\":\"sftp\""));

  give_role(node, R"({"file_copy":false})", 2);
  for (std::string mode : {"", "-O "}) EXPECT_NE(run(scp + mode + from + " " + target).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(to));
  EXPECT_EQ(node.events.wait("access.denied", 1).event_code, "T4000W");
}

TEST_F(ServerTest, ForwardsPortsIfTheRolesAllow) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({});
  // The node's own port: through it, its identification line is seen.
  std::string target = "127.0.0.1:" + std::to_string(node.port());
  Ran ran = run("(sleep 0.5) | " + node.ssh(identity, "-W " + target));
  EXPECT_THAT(ran.out, HasSubstr("SSH-2.0-Mezite"));
  EXPECT_THAT(node.events.wait("port_forward").details, HasSubstr(target));
  ran = run(node.ssh(identity, "-W 127.0.0.1:1"));
  EXPECT_NE(ran.exit_code, 0);
  EXPECT_EQ(node.events.wait("port_forward", 1).event_code, "T2010W");

  give_role(node, R"({"port_forwarding":false})", 2);
  ran = run(node.ssh(identity, "-W " + target));
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(node.events.wait("access.denied").event_code, "T4013W");
}

TEST_F(ServerTest, DeniesWithAnEventAndItsId) {
  TestNode node(cluster);
  node.snapshots.put(cluster.snapshot({TestCluster::role("dev", "[\"somebody-else\"]")}));
  Ran ran = run(node.ssh(cluster.user({})) + "true");
  EXPECT_EQ(ran.exit_code, 255);
  audit::Event denied = node.events.wait("access.denied");
  EXPECT_EQ(denied.event_code, "T4007W");
  EXPECT_EQ(denied.user_name, "alice");
  EXPECT_FALSE(denied.success);
  EXPECT_THAT(ran.err, HasSubstr(denied.id));
  EXPECT_THAT(ran.err, Not(HasSubstr("dev")));
}

TEST_F(ServerTest, EachBadCertificateHasItsEvent) {
  TestNode node(cluster);
  give_role(node);
  std::size_t index = 0;
  auto denied = [&](const TestCluster::UserCertificate& wanted, const std::string& code) {
    Ran ran = run(node.ssh(cluster.user(wanted)) + "true");
    EXPECT_EQ(ran.exit_code, 255) << code;
    audit::Event event = node.events.wait("access.denied", index++);
    EXPECT_EQ(event.event_code, code) << event.error_message;
    EXPECT_EQ(event.client_ip, "192.0.2.7");
    return ran.err;
  };
  EXPECT_THAT(denied({.validity = "-2h:-1h"}, "T4002W"), HasSubstr("ssh: certificate expired"));
  EXPECT_THAT(denied({.validity = "+1h:+2h"}, "T4003W"), HasSubstr("ssh: certificate not yet valid"));
  denied({.ca = "foreign-ca"}, "T4004W");
  denied({.options = "-O source-address=203.0.113.0/24"}, "T4001W");
  denied({.principals = "somebody-else"}, "T4006W");
}

TEST_F(ServerTest, AKeyWithoutCertificateIsNothing) {
  TestNode node(cluster);
  give_role(node);
  cluster.keygen("bare");
  Ran ran = run(node.ssh(cluster.path("bare")) + "true");
  EXPECT_EQ(ran.exit_code, 255);
  EXPECT_EQ(node.events.wait("access.denied").event_code, "T4015W");
}

TEST_F(ServerTest, AnAccountThatIsNotThereIsDenied) {
  TestNode node(cluster);
  node.snapshots.put(cluster.snapshot({TestCluster::role("dev", R"(["no-such-account"])")}));
  Ran ran = run(node.ssh(cluster.user({.principals = "no-such-account"}), "", "no-such-account") + "true");
  EXPECT_EQ(ran.exit_code, 255);
  EXPECT_EQ(node.events.wait("access.denied").event_code, "T4017W");
}

TEST_F(ServerTest, ForcedCommandReplacesEveryOther) {
  TestNode node(cluster);
  give_role(node);
  std::string identity = cluster.user({.options = "-O force-command='echo forced'"});
  EXPECT_EQ(run(node.ssh(identity) + "echo mine").out, "forced\n");
  EXPECT_EQ(run(node.ssh(identity, "-s") + "sftp").out, "forced\n");
}

TEST_F(ServerTest, SessionsPerUserAreCounted) {
  TestNode node(cluster);
  give_role(node, R"({"max_sessions":1})");
  std::string identity = cluster.user({});
  Ran ran = run(node.ssh(identity, "-n") + shell_quote("echo up; sleep 1") + " | (read line; " +
                node.ssh(identity, "-n") + "true; echo second=$?)");
  EXPECT_THAT(ran.out, HasSubstr("second=255"));
  EXPECT_EQ(node.events.wait("access.denied").event_code, "T4016W");
  node.events.wait("session.end");
  EXPECT_EQ(run(node.ssh(identity) + "true").exit_code, 0);
}

TEST_F(ServerTest, ARecordingThatMustBeAndCanNotBeRefusesTheSession) {
  TestNode::no_recorder = true;
  TestNode node(cluster);
  TestNode::no_recorder = false;
  give_role(node, R"({"record_session":"strict"})");
  std::string identity = cluster.user({});
  Ran ran = run(node.ssh(identity) + "echo in");
  EXPECT_EQ(ran.exit_code, 255);
  EXPECT_EQ(ran.out, "");
  audit::Event event = node.events.wait("access.denied");
  EXPECT_EQ(event.event_code, "T4018W");
  EXPECT_THAT(ran.err, HasSubstr(event.id));
  // Without "strict" the session goes on, and an alarm is raised.
  give_role(node, "{}", 2);
  EXPECT_EQ(run(node.ssh(identity) + "echo in").out, "in\n");
  EXPECT_EQ(node.events.wait("session.recording.failed").event_code, "T2020E");
}

TEST_F(ServerTest, RecordingCanBeOff) {
  TestNode node(cluster);
  give_role(node, R"({"record_session":"off"})");
  EXPECT_EQ(run(node.ssh(cluster.user({})) + "echo in").out, "in\n");
  audit::Event end = node.events.wait("session.end");
  EXPECT_THAT(end.details, HasSubstr("\"recorded\":false"));
  EXPECT_TRUE(node.spool().waiting()->empty());
}

// A program on a terminal of ours: what a person in front of ssh sees and types.
class Screen {
 public:
  Screen(const std::string& command, ssh::TerminalSize size) {
    Result<LoginUser> user = find_login_user(own_name());
    Result<Terminal> made = open_terminal({.term = "xterm", .size = size, .modes = {}}, *user);
    EXPECT_TRUE(made);
    terminal_ = std::move(*made);
    int fd = terminal_.slave.get();
    SpawnRequest request{.user = *user,
                         .file = "/bin/sh",
                         .arguments = {"sh", "-c", "exec " + command},
                         .environment = {"PATH=/usr/bin:/bin", "TERM=xterm", "HOME=/nonexistent"},
                         .stdin_fd = fd,
                         .stdout_fd = fd,
                         .stderr_fd = fd,
                         .terminal = ControllingTerminal::kStdin};
    Result<Spawned> spawned = spawn(request);
    EXPECT_TRUE(spawned) << spawned.error().message;
    child_ = spawned->child;
    terminal_.slave.reset();
  }
  void type(std::string_view text) { EXPECT_TRUE(write_all(terminal_.master.get(), as_bytes(text))); }
  void resize(ssh::TerminalSize size) { EXPECT_TRUE(resize_terminal(terminal_.master.get(), size)); }
  bool expect(std::string_view text) {
    SteadyTime limit = system_clock().steady() + std::chrono::seconds(20);
    while (seen_.find(text, at_) == std::string::npos) {
      pollfd poll{terminal_.master.get(), POLLIN, 0};
      if (system_clock().steady() > limit || ::poll(&poll, 1, 1000) < 0) break;
      char chunk[4096];
      ssize_t n = ::read(terminal_.master.get(), chunk, sizeof chunk);
      if (n > 0)
        seen_.append(chunk, static_cast<std::size_t>(n));
      else if (n == 0 || errno == EIO)
        break;
    }
    std::size_t found = seen_.find(text, at_);
    EXPECT_NE(found, std::string::npos) << "no '" << text << "' in: " << seen_.substr(at_);
    if (found != std::string::npos) at_ = found + text.size();
    return found != std::string::npos;
  }
  int wait() {
    expect_end();
    int status = 0;
    ::waitpid(child_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& seen() const { return seen_; }

 private:
  void expect_end() {
    char chunk[4096];
    pollfd poll{terminal_.master.get(), POLLIN, 0};
    while (::poll(&poll, 1, 20000) > 0) {
      ssize_t n = ::read(terminal_.master.get(), chunk, sizeof chunk);
      if (n <= 0 && !(n < 0 && errno == EAGAIN)) break;
      if (n > 0) seen_.append(chunk, static_cast<std::size_t>(n));
    }
  }
  Terminal terminal_;
  pid_t child_ = -1;
  std::string seen_;
  std::size_t at_ = 0;
};

TEST_F(ServerTest, TerminalHasItsSizeKeysAndRecording) {
  TestNode node(cluster);
  give_role(node);
  Screen screen(node.ssh(cluster.user({}), "-tt") + shell_quote("PS1='$ ' exec sh"), {.columns = 97, .rows = 31});
  ASSERT_TRUE(screen.expect("$ "));
  screen.type("stty size; echo term=$TERM\r");
  EXPECT_TRUE(screen.expect("31 97"));
  EXPECT_TRUE(screen.expect("term=xterm"));
  screen.resize({.columns = 120, .rows = 40});
  // SIGWINCH, ssh and the server each take a moment.
  screen.type("while ! stty size | grep -q '40 120'; do :; done; echo resized-$((1+1))\r");
  EXPECT_TRUE(screen.expect("resized-2"));
  screen.type("sh -c 'trap \"echo caught; exit\" INT; echo ready-$((1+1)); while :; do sleep 0.1; done'\r");
  EXPECT_TRUE(screen.expect("ready-2"));
  screen.type("\x03");
  EXPECT_TRUE(screen.expect("caught"));
  screen.type("exit 7\r");
  EXPECT_EQ(screen.wait(), 7);

  audit::Event start = node.events.wait("session.start");
  ASSERT_TRUE(node.wait_recordings(1));
  std::vector<recording::Event> recorded = events_of(node, start.session_id);
  EXPECT_EQ(header.kind, recording::SessionKind::kPty);
  EXPECT_EQ(header.columns, 97);
  EXPECT_THAT(text_of(recorded, recording::EventKind::kOutput), AllOf(HasSubstr("31 97"), HasSubstr("resized-2")));
  EXPECT_THAT(text_of(recorded, recording::EventKind::kInput), HasSubstr("stty size"));
  bool resized = false;
  for (const recording::Event& event : recorded) {
    resized |= event.kind == recording::EventKind::kResize && event.columns == 120 && event.rows == 40;
  }
  EXPECT_TRUE(resized);
}

TEST_F(ServerTest, EndOfInputReachesAProgramOnATerminal) {
  TestNode node(cluster);
  give_role(node);
  Ran ran = run("printf 'a line\\nhalf' | " + node.ssh(cluster.user({}), "-tt") + "cat");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("half"));
}

TEST_F(ServerTest, ALockEndsLiveSessions) {
  TestNode node(cluster);
  give_role(node);
  Screen screen(node.ssh(cluster.user({}), "-tt") + shell_quote("echo up; sleep 1000"), {.columns = 80, .rows = 24});
  ASSERT_TRUE(screen.expect("up"));
  Snapshot locked = cluster.snapshot({TestCluster::role("dev", logins())}, 2);
  locked.locks = {Lock{Lock::Kind::kUser, "alice", "left the company", SystemTime::max()}};
  node.snapshots.put(std::move(locked));
  node.server->recheck();
  EXPECT_EQ(screen.wait(), 255);
  audit::Event denied = node.events.wait("access.denied");
  EXPECT_EQ(denied.event_code, "T4009W");
  EXPECT_THAT(screen.seen(), HasSubstr(denied.id));
  EXPECT_THAT(node.events.wait("session.end").details, HasSubstr("locked"));
  EXPECT_EQ(run("pgrep -x -P " + std::to_string(::getpid()) + " sleep").exit_code, 1) << "nothing is left running";
}

TEST_F(ServerTest, AnExpiringCertificateEndsItsSessions) {
  TestNode node(cluster);
  give_role(node);
  Ran ran = run(node.ssh(cluster.user({.validity = "-1m:+3s"})) + shell_quote("echo up; sleep 1000"));
  EXPECT_EQ(ran.exit_code, 255);
  EXPECT_EQ(ran.out, "up\n");
  EXPECT_THAT(ran.err, HasSubstr("ssh: certificate expired"));
  EXPECT_THAT(node.events.wait("session.end").details, HasSubstr("expired"));
}

TEST_F(ServerTest, IdleSessionsEndWhenTheRolesSaySo) {
  TestNode node(cluster);
  give_role(node, R"({"client_idle_timeout":"1s"})");
  Ran ran = run(node.ssh(cluster.user({}), "-n") + shell_quote("echo up; sleep 1000"));
  EXPECT_EQ(ran.exit_code, 255);
  EXPECT_THAT(ran.err, HasSubstr("idle"));
}

TEST_F(ServerTest, SignalsReachTheProgramWhenTheClientGoes) {
  TestNode node(cluster);
  give_role(node);
  ScratchFolder folder;
  std::string note = folder / "hung-up";
  // The client is killed while the program runs: the program gets a hang-up.
  std::string command = "exec 2>/dev/null; trap 'touch " + note + "; exit' HUP; echo up; while :; do sleep 0.1; done";
  std::string out = folder / "out";
  run("touch " + out + "; " + node.ssh(cluster.user({}), "-n") + shell_quote(command) + " > " + out +
      " & pid=$!; until grep -q up " + out + "; do sleep 0.1; done; kill -KILL $pid; wait $pid");
  audit::Event end = node.events.wait("session.end");
  EXPECT_TRUE(std::filesystem::exists(note)) << end.details;
}

TEST_F(ServerTest, ManySessionsOnOneConnectionAndMany) {
  TestNode node(cluster);
  give_role(node);
  ScratchFolder folder;
  std::string identity = cluster.user({});
  std::string control = " -o ControlPath=" + (folder / "mux").string();
  ASSERT_EQ(run(node.ssh(identity, "-fN -M" + control)).exit_code, 0);
  std::string many;
  for (int i = 0; i < 6; ++i) {
    many += "(" + node.ssh(identity, "-n" + (i % 2 == 0 ? control : std::string())) + "'echo " + std::to_string(i) +
            "; exit " + std::to_string(i) + "'; echo code-$?) & ";
  }
  Ran ran = run(many + " wait");
  for (int i = 0; i < 6; ++i) EXPECT_THAT(ran.out, HasSubstr("code-" + std::to_string(i))) << ran.err;
  EXPECT_EQ(run(node.ssh(identity, "-O exit" + control)).exit_code, 0);
}

TEST_F(ServerTest, AnUnstorableEventRefusesOnlyWhatMustBeRecorded) {
  TestNode node(cluster);
  give_role(node);
  node.events.broken = true;
  EXPECT_EQ(run(node.ssh(cluster.user({})) + "echo in").out, "in\n");
  give_role(node, R"({"record_session":"strict"})", 2);
  EXPECT_EQ(run(node.ssh(cluster.user({})) + "echo in").exit_code, 255);
}

}  // namespace
}  // namespace mezite::agent
