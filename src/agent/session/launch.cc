#include "agent/session/launch.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "agent/process/terminal.hh"
#include "base/file.hh"

namespace mezite::agent {
namespace {

constexpr int kPipeBytes = 256 << 10;  // fewer wake-ups for bulk; the kernel may refuse, which is fine
constexpr std::size_t kGreetingLimitBytes = 16384;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

enum class OurEnd { kRead, kWrite };

Result<Pipe> make_pipe(OurEnd ours) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "making a pipe for the session");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  int fd = ours == OurEnd::kRead ? ends[0] : ends[1];
  // The flag belongs to one end of a pipe, so the program's end stays blocking.
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "making a pipe for the session");
  ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);
  return pipe;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// login(1) and sshd: a shell whose argv[0] begins with '-' is a login shell.
std::vector<std::string> arguments_of(const LaunchRequest& request) {
  std::string name(base_name(request.user.shell));
  if (request.kind == LaunchKind::kShell) return {"-" + name};
  return {name, "-c", request.command};
}

// /etc/motd for interactive shells, unless the user has ~/.hushlogin. With PAM that is pam_motd's work.
std::string greeting_for(const LaunchRequest& request) {
  if (request.kind != LaunchKind::kShell || !request.pty || !request.pam_service.empty()) return {};
  if (::access((request.user.home + "/.hushlogin").c_str(), F_OK) == 0) return {};
  Result<Bytes> text = read_file("/etc/motd", kGreetingLimitBytes);
  if (!text) return {};
  std::string lines;
  for (std::uint8_t byte : *text) {
    if (byte == '\n') lines += '\r';
    lines += static_cast<char>(byte);
  }
  return lines;
}

SpawnRequest spawn_request(const LaunchRequest& request, const std::string& tty_path) {
  SessionFacts facts = request.facts;
  facts.tty_path = tty_path;
  if (request.pty) facts.term = request.pty->term.empty() ? "dumb" : request.pty->term;
  SpawnRequest spawn;
  spawn.user = request.user;
  spawn.file = request.user.shell;
  spawn.arguments = arguments_of(request);
  spawn.environment = session_environment(request.user, facts, request.variables);
  spawn.cgroup_fd = request.cgroup_fd;
  spawn.pam_service = request.pam_service;
  spawn.tty_path = tty_path;
  spawn.remote_host = request.facts.client.ip;
  return spawn;
}

Result<Launched> launch_on_terminal(const LaunchRequest& request) {
  MEZ_TRY(Terminal terminal, open_terminal(*request.pty, request.user));
  SpawnRequest start = spawn_request(request, terminal.path);
  start.stdin_fd = start.stdout_fd = start.stderr_fd = terminal.slave.get();
  start.terminal = ControllingTerminal::kStdin;
  Launched launched;
  launched.greeting = greeting_for(request);
  launched.tty_path = terminal.path;
  // Two descriptors for one master: input may end while output goes on.
  launched.in = UniqueFd(::fcntl(terminal.master.get(), F_DUPFD_CLOEXEC, 0));
  if (!launched.in) return fail_errno(errno, "duplicating the terminal");
  launched.out = std::move(terminal.master);
  MEZ_TRY(launched.process, spawn(start));
  return launched;
}

Result<Launched> launch_on_pipes(const LaunchRequest& request) {
  MEZ_TRY(Pipe in, make_pipe(OurEnd::kWrite));
  MEZ_TRY(Pipe out, make_pipe(OurEnd::kRead));
  MEZ_TRY(Pipe err, make_pipe(OurEnd::kRead));
  SpawnRequest start = spawn_request(request, "");
  start.stdin_fd = in.read.get();
  start.stdout_fd = out.write.get();
  start.stderr_fd = err.write.get();
  Launched launched;
  MEZ_TRY(launched.process, spawn(start));
  launched.in = std::move(in.write);
  launched.out = std::move(out.read);
  launched.err = std::move(err.read);
  return launched;
}

}  // namespace

std::string find_sftp_server(const std::string& configured) {
  if (!configured.empty()) return configured;
  for (const char* path : {"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
                           "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return {};
}

Result<Launched> launch(const LaunchRequest& request) {
  return request.pty ? launch_on_terminal(request) : launch_on_pipes(request);
}

}  // namespace mezite::agent
