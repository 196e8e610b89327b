// Command labels: what a command prints, as the value of a label.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>

#include "agent/settings/config.hh"
#include "base/clock.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {
namespace {

constexpr std::chrono::seconds kCommandLimit{5};
constexpr std::size_t kOutputLimitBytes = 4096;

Result<pid_t> start(const CommandLabel& label, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Signals that the loop of mezd blocks must reach the command.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> words = label.command;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Its own small environment: that of mezd may hold the join token.
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path.data(), nullptr};
  pid_t pid = -1;
  int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, label.command[0]);
  return pid;
}

Result<std::string> run(const CommandLabel& label) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  MEZ_TRY(pid_t pid, start(label, out.get()));
  out.reset();
  SteadyTime limit = system_clock().steady() + kCommandLimit;
  std::string text;
  bool late = false;
  while (text.size() < kOutputLimitBytes) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - system_clock().steady());
    pollfd poll{in.get(), POLLIN, 0};
    int ready = left.count() > 0 ? ::poll(&poll, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      late = true;
      break;
    }
    char chunk[1024];
    ssize_t n = ::read(in.get(), chunk, sizeof chunk);
    if (n <= 0) break;
    text.append(chunk, static_cast<std::size_t>(n));
  }
  in.reset();
  // A command that has closed its output may still run; none outlives its evaluation.
  if (late || text.size() >= kOutputLimitBytes) ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (late) return fail(ErrorCode::kTimeout, "no answer within {} s", kCommandLimit.count());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::kFailedPrecondition, "ended with status {}", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }
  std::string_view line = trim(std::string_view(text).substr(0, text.find('\n')));
  return printable(line.substr(0, 200));
}

}  // namespace

Labels evaluate_labels(const Config& config) {
  Labels labels = config.labels;
  for (const CommandLabel& label : config.command_labels) {
    Result<std::string> value = run(label);
    if (!value) log::warn("command label failed", {{"label", label.name}, {"error", value.error()}});
    labels[label.name] = value.value_or("");
  }
  return labels;
}

}  // namespace mezite::agent
