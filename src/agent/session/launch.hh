// Bringing a session's program to life: what blocks, for a worker.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/process/environment.hh"
#include "agent/process/login_user.hh"
#include "agent/process/spawn.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"
#include "ssh/connection/requests.hh"

namespace mezite::agent {

enum class LaunchKind { kShell, kCommand, kSubsystem };

struct LaunchRequest {
  LoginUser user;
  LaunchKind kind = LaunchKind::kShell;
  std::string command;  // of kCommand and kSubsystem: for the login shell's -c
  std::optional<ssh::PtyRequest> pty;
  SessionFacts facts;
  std::vector<Variable> variables;
  std::string pam_service;
  int cgroup_fd = -1;  // SpawnRequest's
};

// All descriptors are ours, non-blocking.
struct Launched {
  Spawned process;
  // With a PTY: in and out are two descriptors of its master, err is none.
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  std::string tty_path;
  std::string greeting;  // to be shown before the program's output; lines end in CR LF
};

Result<Launched> launch(const LaunchRequest& request);

// The path of OpenSSH's sftp-server: as configured, or where distributions put it; empty: there is none.
std::string find_sftp_server(const std::string& configured);

}  // namespace mezite::agent
