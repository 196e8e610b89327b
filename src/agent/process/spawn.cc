#include "agent/process/spawn.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "agent/process/child.hh"
#include "agent/process/pam_helper.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {
namespace {

struct SignalName {
  std::string_view name;
  int number;
};
constexpr SignalName kSignals[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},     {"INT", SIGINT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM},   {"USR1", SIGUSR1},
    {"USR2", SIGUSR2}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"WINCH", SIGWINCH},
};

void reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

int signal_number(std::string_view name) {
  for (const SignalName& signal : kSignals) {
    if (signal.name == name) return signal.number;
  }
  return 0;
}

std::string signal_name(int number) {
  for (const SignalName& signal : kSignals) {
    if (signal.number == number) return std::string(signal.name);
  }
  return fmt::format("SIG{}@mezite.com", number);
}

Result<Spawned> spawn(const SpawnRequest& request) {
  MEZ_CHECK(may_become(request.user));
  if (!request.pam_service.empty()) return spawn_with_pam(request);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "starting the session");
  UniqueFd report_in(ends[0]);
  UniqueFd report_out(ends[1]);
  std::vector<gid_t> groups;
  if (request.groups) {
    groups = *request.groups;
  } else if (::geteuid() == 0) {
    MEZ_TRY(groups, groups_of(request.user));
  }
  ChildImage image(request, groups);
  // No signal may run a handler of ours in the child before reset_signals().
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  // vfork(): nothing of this process is copied, and no handlers run that libraries have registered for fork(). The
  // child borrows this thread's memory until it executes; become() writes to its own stack only.
  pid_t pid = fork_into_cgroup(request.cgroup_fd);
  if (pid < 0) pid = ::vfork();
  if (pid == 0) image.become(report_out.get());
  int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail_errno(error, "starting the session (fork)");
  report_out.reset();

  SpawnReport report;
  ssize_t n;
  do {
    n = ::read(report_in.get(), &report, sizeof report);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return Spawned{.child = pid, .group = pid};
  reap(pid);
  if (n != sizeof report) return fail(ErrorCode::kInternal, "starting the session: no report from the child");
  return std::unexpected(describe(report, request));
}

}  // namespace mezite::agent
