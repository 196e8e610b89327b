#include "agent/forward/xauth.hh"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/process/environment.hh"
#include "agent/process/spawn.hh"
#include "base/file.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxCookieBytes = 512;
constexpr int kLimitMilliseconds = 15'000;  // xauth itself waits ten seconds for its lock

std::string find_xauth() {
  for (const char* path : {"/usr/bin/xauth", "/usr/local/bin/xauth", "/usr/X11R6/bin/xauth", "/opt/X11/bin/xauth"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return {};
}

// Its wait status; it is killed when it takes too long.
Result<int> wait_for(pid_t child) {
  UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd waiting{ended.get(), POLLIN, 0};
  int ready = 1;
  if (ended) {
    do {
      ready = ::poll(&waiting, 1, kLimitMilliseconds);
    } while (ready < 0 && errno == EINTR);
  }
  if (ready == 0) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno(errno, "waiting for xauth");
  }
  if (ready == 0) return fail(ErrorCode::kTimeout, "xauth did not end in {} seconds", kLimitMilliseconds / 1000);
  return status;
}

}  // namespace

bool is_valid_x11_cookie(std::string_view protocol, std::string_view cookie) {
  auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
  return !protocol.empty() && protocol.size() <= 64 && protocol[0] != '-' && std::ranges::all_of(protocol, is_word) &&
         !cookie.empty() && cookie.size() <= kMaxCookieBytes && cookie.size() % 2 == 0 &&
         std::ranges::all_of(cookie, is_hex);
}

std::string display_name(std::uint32_t display, std::uint32_t screen) {
  return fmt::format("localhost:{}.{}", display, screen);
}

Status add_xauth_entry(const LoginUser& user, const XauthEntry& entry) {
  if (!is_valid_x11_cookie(entry.protocol, entry.cookie)) {
    return fail(ErrorCode::kInvalidArgument, "the X11 cookie is malformed");
  }
  std::string program = find_xauth();
  if (program.empty()) {
    return fail(ErrorCode::kFailedPrecondition, "X11 forwarding needs xauth on the node; install the package xauth");
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "starting xauth");
  UniqueFd theirs(ends[0]);
  UniqueFd ours(ends[1]);
  UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!nowhere) return fail_errno(errno, "starting xauth");
  SpawnRequest request;
  request.user = user;
  request.file = program;
  request.arguments = {"xauth", "-q", "-"};
  request.environment = {"HOME=" + user.home, "USER=" + user.name, "LOGNAME=" + user.name,
                         "PATH=" + default_path(user.uid)};
  request.stdin_fd = theirs.get();
  request.stdout_fd = request.stderr_fd = nowhere.get();
  MEZ_TRY(Spawned spawned, spawn(request));
  theirs.reset();
  // A display of "localhost" is looked up as one of this machine, "unix:10".
  std::string name = fmt::format("unix:{}.{}", entry.display, entry.screen);
  // Less than a pipe holds, so the write never waits.
  Status written =
      write_all(ours.get(), as_bytes(fmt::format("remove {0}\nadd {0} {1} {2}\n", name, entry.protocol, entry.cookie)));
  ours.reset();
  MEZ_TRY(int status, wait_for(spawned.child));
  MEZ_CHECK(written);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::kFailedPrecondition, "xauth could not write ~/.Xauthority of {}", printable(user.name));
  }
  return {};
}

}  // namespace mezite::agent
