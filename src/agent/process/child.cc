#include "agent/process/child.hh"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/text.hh"

namespace mezite::agent {
namespace {

constexpr int kReportFd = 3;
constexpr int kScratchFd = 16;  // descriptors are moved above this before 0 to 3 are filled

struct KeptLimit {
  __rlimit_resource resource;
  rlimit value;
  bool kept;
};
KeptLimit kept_limits[] = {{RLIMIT_NOFILE, {}, false}, {RLIMIT_CORE, {}, false}};

[[noreturn]] void give_up(int report_fd, SpawnStage stage, int error) {
  SpawnReport report{stage, error};
  [[maybe_unused]] ssize_t ignored = ::write(report_fd, &report, sizeof report);
  ::_exit(127);
}

// The raw system calls: glibc's wrappers make every thread of the process follow (nptl(7)), by signals and locks that
// do not survive a fork.
long raw_setgroups(std::size_t count, const gid_t* groups) { return ::syscall(SYS_setgroups, count, groups); }
long raw_setresgid(gid_t id) { return ::syscall(SYS_setresgid, id, id, id); }
long raw_setresuid(uid_t id) { return ::syscall(SYS_setresuid, id, id, id); }

char* text_of(const std::string& text) {
  return const_cast<char*>(text.c_str());
}  // execve() takes char* and writes none

}  // namespace

ChildImage::ChildImage(const SpawnRequest& request, const std::vector<gid_t>& groups)
    : request_(request), groups_(groups), root_(::geteuid() == 0) {
  for (const std::string& argument : request.arguments) argv_.push_back(text_of(argument));
  for (const std::string& variable : request.environment) envp_.push_back(text_of(variable));
  argv_.push_back(nullptr);
  envp_.push_back(nullptr);
}

void keep_limits_for_sessions() {
  for (KeptLimit& limit : kept_limits) limit.kept = ::getrlimit(limit.resource, &limit.value) == 0;
}

pid_t fork_into_cgroup(int cgroup_fd) {
  if (cgroup_fd < 0) return -1;
  clone_args how{};
  how.flags = CLONE_VFORK | CLONE_INTO_CGROUP;
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<std::uint64_t>(cgroup_fd);
  return static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
}

void restore_limits() {
  for (const KeptLimit& limit : kept_limits) {
    if (limit.kept) ::setrlimit(limit.resource, &limit.value);
  }
}

void reset_signals() {
  // Again the raw call: glibc keeps signals 32 and 33 for itself and refuses to change them, but a parent that used
  // posix_spawn() hands them down ignored. All zero is SIG_DFL without flags.
  constexpr std::size_t kSignalMaskBytes = 8;
  const std::array<std::uint8_t, 64> default_action{};
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, default_action.data(), nullptr, kSignalMaskBytes);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void ChildImage::become(int report_fd) const {
  int report = ::fcntl(report_fd, F_DUPFD_CLOEXEC, kScratchFd);
  if (report < 0) ::_exit(127);
  int wanted[3] = {request_.stdin_fd, request_.stdout_fd, request_.stderr_fd};
  for (int& fd : wanted) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kScratchFd);
    if (fd < 0) give_up(report, SpawnStage::kDescriptors, errno);
  }
  for (int i = 0; i < 3; ++i) {
    if (::dup2(wanted[i], i) < 0) give_up(report, SpawnStage::kDescriptors, errno);
  }
  if (::dup3(report, kReportFd, O_CLOEXEC) < 0) give_up(report, SpawnStage::kDescriptors, errno);
  report = kReportFd;
  if (::syscall(SYS_close_range, kReportFd + 1, ~0u, 0) != 0) give_up(report, SpawnStage::kDescriptors, errno);

  if (::setsid() < 0) give_up(report, SpawnStage::kSession, errno);
  if (request_.terminal == ControllingTerminal::kStdin && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) {
    give_up(report, SpawnStage::kTerminal, errno);
  }
  ::umask(022);
  restore_limits();

  const LoginUser& user = request_.user;
  if (root_) {
    if (raw_setgroups(groups_.size(), groups_.data()) != 0) give_up(report, SpawnStage::kGroups, errno);
    if (raw_setresgid(user.gid) != 0 || raw_setresuid(user.uid) != 0) give_up(report, SpawnStage::kIds, errno);
  }
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  if (::getresuid(&real, &effective, &saved) != 0 || real != user.uid || effective != user.uid || saved != user.uid) {
    give_up(report, SpawnStage::kIds, EPERM);
  }
  if (user.uid != 0 && (::syscall(SYS_setuid, 0) == 0 || ::syscall(SYS_setresuid, -1, 0, -1) == 0)) {
    give_up(report, SpawnStage::kRootRegained, EPERM);
  }

  // As the user, so that a home on a file server that squashes root can be entered.
  if (::chdir(user.home.c_str()) != 0 && ::chdir("/") != 0) give_up(report, SpawnStage::kExecute, errno);
  // Last: until here the handlers of mezd are in place, but its signals are blocked.
  reset_signals();
  ::execve(request_.file.c_str(), argv_.data(), envp_.data());
  give_up(report, SpawnStage::kExecute, errno);
}

Error describe(const SpawnReport& report, const SpawnRequest& request) {
  std::string_view doing = "starting the session";
  switch (report.stage) {
    case SpawnStage::kDescriptors: doing = "handing over the session's descriptors"; break;
    case SpawnStage::kSession: doing = "making a session (setsid)"; break;
    case SpawnStage::kTerminal: doing = "making the terminal the controlling one"; break;
    case SpawnStage::kGroups: doing = "setting the user's groups"; break;
    case SpawnStage::kIds: doing = "becoming the user"; break;
    case SpawnStage::kRootRegained: doing = "giving up root for good"; break;
    case SpawnStage::kExecute: return fail_errno(report.error, "executing " + printable(request.file)).error();
    case SpawnStage::kHelper: doing = "running the PAM helper"; break;
  }
  return fail_errno(report.error, doing).error();
}

}  // namespace mezite::agent
