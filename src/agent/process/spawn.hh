// Starting the program of a session as its login user, from a process with many threads.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/process/login_user.hh"
#include "base/result.hh"

namespace mezite::agent {

enum class ControllingTerminal { kNone, kStdin };

struct SpawnRequest {
  LoginUser user;
  // Supplementary groups; absent: those that the name service gives the user when the program starts. Set by root only.
  std::optional<std::vector<gid_t>> groups;
  std::string file;                      // what to execute
  std::vector<std::string> arguments;    // argv, argv[0] included
  std::vector<std::string> environment;  // "NAME=value"
  // Become 0, 1 and 2 of the program; stay the caller's, who closes them afterwards.
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  ControllingTerminal terminal = ControllingTerminal::kNone;

  // A folder of cgroup v2 that the program begins in; -1, or when the kernel refuses: the caller's cgroup.
  int cgroup_fd = -1;

  // Empty: no PAM. Else account and session of this service are run around the program, in a process of their own.
  std::string pam_service;
  std::string tty_path;     // PAM_TTY
  std::string remote_host;  // PAM_RHOST
};

struct Spawned {
  pid_t child = -1;  // ours to wait for; ends as the program ends
  pid_t group = -1;  // process group (and session) of the program, for signals; the same unless PAM is in between
};

// Forks and executes. The program gets a session of its own, no signal blocked or ignored, no other descriptor, its
// user's groups and ids (and it has been verified that root can't be regained), umask 022, and its home as working
// directory, or / when that can't be entered. Returns when execve() has succeeded, or with what failed. Blocks for
// milliseconds (longer with PAM): call it on a worker.
//
// Between fork and exec nothing but async-signal-safe calls run (POSIX fork(), threads), on data made before.
Result<Spawned> spawn(const SpawnRequest& request);

// For main(), before it raises the limits of its own process: sessions get those of now (files, core size).
void keep_limits_for_sessions();

// For main(): runs the PAM helper that spawn() starts this very program as, and exits. Does nothing for other command
// lines.
void run_session_helper(int argc, char** argv);

// "INT", "TERM", … of RFC 4254 §6.10; 0 for a name that is not known.
int signal_number(std::string_view name);
// The reverse, for exit-signal; other signals as "SIG<number>@mezite.com".
std::string signal_name(int number);

}  // namespace mezite::agent
