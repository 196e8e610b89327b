#include "agent/process/pam_helper.hh"

#include <fcntl.h>
#include <grp.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "agent/process/child.hh"
#include "base/bytes.hh"
#include "base/file.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {
namespace {

constexpr std::string_view kHelperWord = "session-exec";
// Where the helper finds things: 0, 1 and 2 are the program's.
constexpr int kReportFd = 3;
constexpr int kRequestFd = 4;
constexpr std::size_t kMaxRequestBytes = std::size_t{4} << 20;

// The request as NUL-terminated strings, as none of them can hold a NUL: the fixed ones, counts, then the lists.
class Writer {
 public:
  void put(std::string_view text) {
    out_.append(text.substr(0, text.find('\0')));
    out_.push_back('\0');
  }
  void put(std::uint64_t number) { put(std::to_string(number)); }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  std::string take() {
    std::size_t end = text_.find('\0');
    if (end == std::string_view::npos) {
      good_ = false;
      return {};
    }
    std::string piece(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return piece;
  }
  std::uint32_t number() {
    std::string piece = take();
    std::uint32_t value = 0;
    auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), value);
    if (error != std::errc{} || end != piece.data() + piece.size()) good_ = false;
    return value;
  }
  bool good() const { return good_; }
  std::size_t left() const { return text_.size(); }

 private:
  std::string_view text_;
  bool good_ = true;
};

std::string encode(const SpawnRequest& request) {
  Writer out;
  out.put(request.user.name);
  out.put(std::uint64_t{request.user.uid});
  out.put(std::uint64_t{request.user.gid});
  out.put(request.user.home);
  out.put(request.user.shell);
  out.put(request.file);
  out.put(request.pam_service);
  out.put(request.tty_path);
  out.put(request.remote_host);
  out.put(std::uint64_t{request.terminal == ControllingTerminal::kStdin});
  out.put(request.arguments.size());
  out.put(request.environment.size());
  for (const std::string& argument : request.arguments) out.put(argument);
  for (const std::string& variable : request.environment) out.put(variable);
  return out.text();
}

bool decode(std::string_view text, SpawnRequest& request) {
  Reader in(text);
  request.user.name = in.take();
  request.user.uid = in.number();
  request.user.gid = in.number();
  request.user.home = in.take();
  request.user.shell = in.take();
  request.file = in.take();
  request.pam_service = in.take();
  request.tty_path = in.take();
  request.remote_host = in.take();
  request.terminal = in.number() == 1 ? ControllingTerminal::kStdin : ControllingTerminal::kNone;
  std::uint32_t arguments = in.number();
  std::uint32_t variables = in.number();
  if (!in.good() || std::uint64_t{arguments} + variables > in.left()) return false;
  for (std::uint32_t i = 0; i < arguments; ++i) request.arguments.push_back(in.take());
  for (std::uint32_t i = 0; i < variables; ++i) request.environment.push_back(in.take());
  request.stdin_fd = 0;
  request.stdout_fd = 1;
  request.stderr_fd = 2;
  return in.good() && in.left() == 0;
}

// What the helper answers: the pid of the program, or a sentence.
struct HelperReport {
  std::int32_t pid = -1;
  char text[256] = "";
};

[[noreturn]] void refuse(std::string_view why) {
  HelperReport report;
  ::memcpy(report.text, why.data(), std::min(why.size(), sizeof report.text - 1));
  [[maybe_unused]] ssize_t ignored = ::write(kReportFd, &report, sizeof report);
  ::_exit(127);
}

// Nothing is asked of the user here; what modules want to say goes to the session.
int converse(int count, const pam_message** messages, pam_response** responses, void*) {
  if (count <= 0 || count > PAM_MAX_NUM_MSG) return PAM_CONV_ERR;
  auto* answers = static_cast<pam_response*>(::calloc(static_cast<std::size_t>(count), sizeof(pam_response)));
  if (!answers) return PAM_BUF_ERR;
  for (int i = 0; i < count; ++i) {
    int style = messages[i]->msg_style;
    if (style != PAM_TEXT_INFO && style != PAM_ERROR_MSG) {
      ::free(answers);
      return PAM_CONV_ERR;
    }
    std::string line = std::string(messages[i]->msg) + "\r\n";
    [[maybe_unused]] Status ignored = write_all(STDOUT_FILENO, as_bytes(line));
  }
  *responses = answers;
  return PAM_SUCCESS;
}

void check_pam(pam_handle_t* pam, int code, std::string_view doing) {
  if (code != PAM_SUCCESS) refuse(fmt::format("{}: {}", doing, ::pam_strerror(pam, code)));
}

void add_pam_environment(pam_handle_t* pam, SpawnRequest& request) {
  char** list = ::pam_getenvlist(pam);
  if (!list) return;
  for (char** entry = list; *entry; ++entry) {
    std::string variable = *entry;
    std::string_view name = std::string_view(variable).substr(0, variable.find('=') + 1);
    // What mezd set stays: PAM may not change whose session it is.
    bool ours = name == "USER=" || name == "LOGNAME=" || name == "HOME=" || name == "SHELL=" ||
                name == "MEZITE_SESSION_ID=" || name == "SSH_CLIENT=" || name == "SSH_CONNECTION=" ||
                name == "SSH_TTY=";
    // A forwarded agent or display goes over one of the node's.
    ours |= (name == "SSH_AUTH_SOCK=" || name == "DISPLAY=") &&
            std::ranges::any_of(request.environment, [&](const std::string& set) { return set.starts_with(name); });
    if (!ours && !name.empty()) {
      std::erase_if(request.environment, [&](const std::string& old) { return old.starts_with(name); });
      request.environment.push_back(variable);
    }
    ::free(*entry);
  }
  ::free(list);
}

// Those of this process: the user's, and what pam_group may have added.
std::vector<gid_t> own_groups() {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return groups;
}

pid_t start_program(const SpawnRequest& request) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) refuse("starting the session: no pipe");
  std::vector<gid_t> groups = own_groups();
  ChildImage image(request, groups);
  pid_t pid = ::fork();
  if (pid == 0) image.become(ends[1]);
  if (pid < 0) refuse("starting the session: fork failed");
  ::close(ends[1]);
  SpawnReport report;
  ssize_t n;
  do {
    n = ::read(ends[0], &report, sizeof report);
  } while (n < 0 && errno == EINTR);
  ::close(ends[0]);
  if (n == sizeof report) refuse(describe(report, request).message);
  return pid;
}

[[noreturn]] void end_as(int status) {
  if (!WIFSIGNALED(status)) ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 255);
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  reset_signals();
  ::kill(::getpid(), WTERMSIG(status));
  ::_exit(128 + WTERMSIG(status));
}

[[noreturn]] void help() {
  std::string text;
  char chunk[4096];
  ssize_t n;
  while ((n = ::read(kRequestFd, chunk, sizeof chunk)) > 0 && text.size() < kMaxRequestBytes) {
    text.append(chunk, static_cast<std::size_t>(n));
  }
  ::close(kRequestFd);
  ::fcntl(kReportFd, F_SETFD, FD_CLOEXEC);
  SpawnRequest request;
  if (n != 0 || !decode(text, request)) refuse("the session helper did not get its request");
  // The session's end is told by the program's end, not by signals meant for it.
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGTTOU}) ::signal(signal, SIG_IGN);

  pam_handle_t* pam = nullptr;
  pam_conv conversation{converse, nullptr};
  int code = ::pam_start(request.pam_service.c_str(), request.user.name.c_str(), &conversation, &pam);
  if (code != PAM_SUCCESS || !pam) refuse(fmt::format("PAM service {} can't be started", request.pam_service));
  if (!request.remote_host.empty()) ::pam_set_item(pam, PAM_RHOST, request.remote_host.c_str());
  ::pam_set_item(pam, PAM_TTY, request.tty_path.empty() ? "ssh" : request.tty_path.c_str());
  check_pam(pam, ::pam_acct_mgmt(pam, PAM_SILENT), "PAM refuses the account");
  if (::geteuid() == 0 && ::initgroups(request.user.name.c_str(), request.user.gid) != 0) {
    refuse("setting the user's groups failed");
  }
  check_pam(pam, ::pam_setcred(pam, PAM_ESTABLISH_CRED | PAM_SILENT), "PAM credentials");
  check_pam(pam, ::pam_open_session(pam, 0), "PAM refuses the session");
  add_pam_environment(pam, request);

  pid_t pid = start_program(request);
  HelperReport report{.pid = pid};
  [[maybe_unused]] ssize_t ignored = ::write(kReportFd, &report, sizeof report);
  // Let go of the session's descriptors: their end of file is the program's to give.
  UniqueFd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd < 3; ++fd) ::dup2(nowhere.get(), fd);
  ::close(kReportFd);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::pam_close_session(pam, PAM_SILENT);
  ::pam_setcred(pam, PAM_DELETE_CRED | PAM_SILENT);
  ::pam_end(pam, PAM_SUCCESS);
  end_as(status);
}

}  // namespace

Result<Spawned> spawn_with_pam(const SpawnRequest& request) {
  UniqueFd memory(::memfd_create("session", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "starting the session helper");
  MEZ_CHECK(write_all(memory.get(), as_bytes(encode(request))));
  ::lseek(memory.get(), 0, SEEK_SET);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "starting the session helper");
  UniqueFd report_in(ends[0]);
  UniqueFd report_out(ends[1]);

  int fds[5] = {request.stdin_fd, request.stdout_fd, request.stderr_fd, report_out.get(), memory.get()};
  const char* argv[] = {"mezd", kHelperWord.data(), nullptr};
  const char* envp[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = fork_into_cgroup(request.cgroup_fd);
  if (pid < 0) pid = ::_Fork();
  if (pid == 0) {
    int high[5];
    for (int i = 0; i < 5; ++i) high[i] = ::fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
    for (int i = 0; i < 5; ++i) {
      if (::dup2(high[i], i) < 0) ::_exit(127);
    }
    ::close_range(5, ~0u, 0);
    ::setsid();
    restore_limits();
    reset_signals();
    ::execve("/proc/self/exe", const_cast<char**>(argv), const_cast<char**>(envp));
    ::_exit(127);
  }
  int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail_errno(error, "starting the session helper (fork)");
  report_out.reset();

  HelperReport report;
  ssize_t n;
  do {
    n = ::read(report_in.get(), &report, sizeof report);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof report && report.pid > 0) return Spawned{.child = pid, .group = report.pid};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (n != sizeof report) return fail(ErrorCode::kInternal, "the session helper ended without a word");
  report.text[sizeof report.text - 1] = '\0';
  return fail(ErrorCode::kPermissionDenied, "{}", printable(report.text));
}

void run_session_helper(int argc, char** argv) {
  if (argc != 2 || argv[1] != kHelperWord) return;
  if (::fcntl(kReportFd, F_GETFD) < 0 || ::fcntl(kRequestFd, F_GETFD) < 0) {
    [[maybe_unused]] Status ignored =
        write_all(STDERR_FILENO, as_bytes("mezd: session-exec is started by mezd itself, not by hand\n"));
    ::_exit(2);
  }
  help();
}

}  // namespace mezite::agent
