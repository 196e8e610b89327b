#include "agent/workload/peer.hh"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <fstream>

#include "agent/testing.hh"
#include "agent/workload/connections.hh"

namespace mezite::agent {
namespace {

using ::testing::HasSubstr;

// A child that connects to a socket of ours and then does what the test wants, when the test says so.
class Caller {
 public:
  // After connecting it waits for a byte before `then`, and for its end before it exits.
  template <class Then>
  explicit Caller(Then then) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string path = (folder_ / "socket").string();
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::chmod(path.c_str(), 0666), 0);
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(pair[0]);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);  // kept over exec
      if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ::_exit(1);
      say(pair[1]);
      wait(pair[1]);
      then(pair[1]);
      say(pair[1]);
      wait(pair[1]);
      ::_exit(0);
    }
    ::close(pair[1]);
    control_.reset(pair[0]);
    wait(control_.get());  // it has connected
  }
  ~Caller() { end(); }

  UniqueFd accept() {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(fd);
    return fd;
  }
  void go() { say(control_.get()); }
  void go_and_wait() {
    go();
    wait(control_.get());
  }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  pid_t pid() const { return pid_; }

 private:
  static void say(int fd) { [[maybe_unused]] ssize_t n = ::write(fd, "x", 1); }
  static void wait(int fd) {
    char byte;
    while (::read(fd, &byte, 1) < 0 && errno == EINTR) {
    }
  }
  ScratchFolder folder_;
  UniqueFd listener_, control_;
  pid_t pid_ = 0;
};

auto nothing = [](int) {};

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

TEST(Peer, IsWhoConnected) {
  Caller caller(nothing);
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ((*peer)->pid(), caller.pid());
  auto process = (*peer)->attest();
  ASSERT_TRUE(process) << process.error().message;
  EXPECT_EQ(process->uid, ::geteuid());
  EXPECT_EQ(process->gid, ::getegid());
  EXPECT_EQ(process->path, own_program());
  EXPECT_EQ(process->user, run("id -un").out.substr(0, process->user.size()));
  EXPECT_FALSE(process->user.empty());
  EXPECT_FALSE(process->group.empty());
}

TEST(Peer, IsNobodyOnceItHasEnded) {
  Caller caller(nothing);
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer);
  caller.end();
  EXPECT_TRUE((*peer)->has_ended());
  auto process = (*peer)->attest();
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(process.error().message, HasSubstr("ended"));
}

TEST(Peer, IsNobodyWhenItEndedBeforeItWasAccepted) {
  Caller caller(nothing);
  caller.end();
  UniqueFd fd = caller.accept();
  EXPECT_FALSE(Peer::of_socket(fd.get()));
}

// The kernel gives the process number after this one next, if nobody is faster. For root only, where /proc/sys can be
// written.
bool set_last_pid(pid_t number) {
  std::ofstream last("/proc/sys/kernel/ns_last_pid");
  return static_cast<bool>(last << number << std::flush);
}

// A process with exactly this number; -1 when others are always faster.
pid_t fork_as(pid_t number) {
  for (int tries = 0; tries < 500; ++tries) {
    if (!set_last_pid(number - 1)) return -1;
    pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::pause();
      ::_exit(0);
    }
    if (pid == number) return pid;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  return -1;
}

TEST(Peer, ANumberThatIsAnotherProcesssByNowIsNotBelieved) {
  if (!set_last_pid(::getpid())) GTEST_SKIP() << "not allowed to choose process numbers here";
  Caller looked_at(nothing), too_late(nothing);
  pid_t first = looked_at.pid(), second = too_late.pid();
  UniqueFd accepted = looked_at.accept();
  auto peer = Peer::of_socket(accepted.get());
  ASSERT_TRUE(peer);
  looked_at.end();
  too_late.end();
  pid_t reused = fork_as(first);
  ASSERT_EQ(reused, first);
  EXPECT_THAT((*peer)->attest().error().message, HasSubstr("ended"));
  ::kill(reused, SIGKILL);
  ::waitpid(reused, nullptr, 0);
  // It connected, ended, and its number was another's before anybody looked.
  reused = fork_as(second);
  ASSERT_EQ(reused, second);
  UniqueFd late = too_late.accept();
  EXPECT_FALSE(Peer::of_socket(late.get()));
  ::kill(reused, SIGKILL);
  ::waitpid(reused, nullptr, 0);
}

// Where the kernel gives no descriptor by the socket, the start time still tells them apart.
TEST(Peer, AnotherStartTimeIsAnotherProcess) {
  ScratchFolder proc;
  std::string name = std::to_string(::getpid());
  ASSERT_TRUE(make_directories(proc / name));
  auto put = [&](std::uint64_t start) {
    std::string stat = fmt::format("{} (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n", name, start);
    ASSERT_TRUE(write_file(proc / (name + "/stat"), as_bytes(stat)));
    std::string status = "Name:\ta\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\n";
    ASSERT_TRUE(write_file(proc / (name + "/status"), as_bytes(status)));
  };
  put(1000);
  auto pidfd = [] { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))); };
  auto peer = Peer::of_process(pidfd(), ::getpid(), 7, 8, proc.str());
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_TRUE((*peer)->attest());
  put(1001);
  EXPECT_THAT((*peer)->attest().error().message, HasSubstr("another process"));
  EXPECT_FALSE(Peer::of_process(pidfd(), ::getpid(), 9, 8, proc.str()));
  EXPECT_FALSE(Peer::of_process(pidfd(), ::getpid(), 7, 9, proc.str()));
  ASSERT_TRUE(write_file(proc / (name + "/stat"), as_bytes("nonsense")));
  EXPECT_FALSE((*peer)->attest());
}

TEST(Peer, WhatRunsAnotherProgramNowIsNotBelieved) {
  Caller caller([](int fd) {
    std::string to = std::to_string(fd);
    ::execl("/bin/sh", "sh", "-c", ("echo >&" + to + "; read x <&" + to).c_str(), nullptr);
  });
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer);
  EXPECT_TRUE((*peer)->attest());
  caller.go_and_wait();
  EXPECT_THAT((*peer)->attest().error().message, HasSubstr("another program"));
}

TEST(Peer, WhatRunsAsAnotherUserNowIsNotBelieved) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes somebody else";
  Caller caller([](int) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
  });
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer);
  EXPECT_TRUE((*peer)->attest());
  caller.go_and_wait();
  EXPECT_THAT((*peer)->attest().error().message, HasSubstr("user has changed"));
}

// A program of the same name in another root, or one that was replaced, has no path here.
TEST(Peer, AProgramThatIsNotAtItsPathHasNone) {
  ScratchFolder folder;
  std::string copy = (folder / "program").string();
  std::filesystem::copy_file("/bin/sleep", copy);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execl(copy.c_str(), "program", "100", nullptr);
    ::_exit(1);
  }
  ::close(pair[1]);
  char byte;
  EXPECT_EQ(::read(pair[0], &byte, 1), 0);  // closed by the exec
  ::close(pair[0]);
  auto pidfd = [&] { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0))); };
  auto peer = Peer::of_process(pidfd(), child, ::geteuid(), ::getegid(), "/proc");
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ((*peer)->attest()->path, copy);
  std::filesystem::rename(copy, copy + ".old");
  std::filesystem::copy_file("/bin/sleep", copy);
  auto replaced = (*peer)->attest();
  ASSERT_TRUE(replaced) << replaced.error().message;
  EXPECT_EQ(replaced->path, copy + ".old");  // where the file is now
  std::filesystem::remove(copy + ".old");
  EXPECT_EQ((*peer)->attest()->path, "");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(SystemdUnit, IsWhatTheSystemManagerSays) {
  EXPECT_EQ(systemd_unit_of("0::/system.slice/payments.service\n"), "payments.service");
  EXPECT_EQ(systemd_unit_of("0::/system.slice/system-payments.slice/payments@1.service/worker\n"),
            "payments@1.service");
  EXPECT_EQ(systemd_unit_of("0::/init.scope\n"), "init.scope");
  EXPECT_EQ(systemd_unit_of("12:cpu:/x\n1:name=systemd:/system.slice/ssh.service\n0::/\n"), "ssh.service");
  EXPECT_EQ(systemd_unit_of("0::/system.slice/_cgroup.service\n"), "cgroup.service");
  // A user's manager and a container make what they like below their own unit.
  EXPECT_EQ(systemd_unit_of("0::/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service\n"),
            "user@1000.service");
  EXPECT_EQ(systemd_unit_of("0::/system.slice/docker-abc.scope/system.slice/payments.service\n"), "docker-abc.scope");
  for (std::string_view none : {"", "\n", "0::/\n", "0::\n", "0::/payments\n", "0::/../payments.service\n",
                                "0::/a.slice/../payments.service\n", "0::/payments/payments.service\n",
                                "0::/.service\n", "::", "nonsense", "3:cpu:/system.slice/payments.service\n"}) {
    EXPECT_EQ(systemd_unit_of(none), "") << none;
  }
}

TEST(Connections, ADescriptorThatIsAnotherSocketNowIsNobody) {
  Caller caller(nothing);
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer);
  Connections connections;
  ASSERT_TRUE(connections.put(fd.get(), *peer));
  std::string name = "fd:" + std::to_string(fd.get());
  EXPECT_EQ(connections.find(name), *peer);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_GE(::dup2(pair[0], fd.get()), 0);
  EXPECT_EQ(connections.find(name), nullptr);
  ::close(pair[0]);
  ::close(pair[1]);
  for (std::string_view bad : {"", "fd:", "fd:x", "fd:1x", "ipv4:127.0.0.1:1", "unix:/x", "fd:99999999999"}) {
    EXPECT_EQ(connections.find(bad), nullptr) << bad;
  }
}

TEST(Connections, OneUserCannotHaveThemAll) {
  Caller caller(nothing);
  UniqueFd fd = caller.accept();
  auto peer = Peer::of_socket(fd.get());
  ASSERT_TRUE(peer);
  Connections connections;
  std::vector<UniqueFd> open;
  for (std::size_t i = 0; i < Connections::kMostOfOneUser; ++i) {
    open.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(connections.put(open.back().get(), *peer)) << i;
  }
  UniqueFd more(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connections.put(more.get(), *peer).error().code, ErrorCode::kResourceExhausted);
  open.erase(open.begin());  // closed, without a word to the registry
  EXPECT_TRUE(connections.put(more.get(), *peer));
}

}  // namespace
}  // namespace mezite::agent
