// A pseudo-terminal for a session, set up as the client's terminal is.
#pragma once

#include <string>

#include "agent/process/login_user.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"
#include "ssh/connection/requests.hh"

struct termios;

namespace mezite::agent {

struct Terminal {
  UniqueFd master;   // non-blocking, close-on-exec
  UniqueFd slave;    // blocking; close it once the child has it
  std::string path;  // "/dev/pts/4"
};

// Opens one that belongs to the user (group tty, mode 0620, when there is that group), with the modes and the size of
// the request. Does not block.
Result<Terminal> open_terminal(const ssh::PtyRequest& request, const LoginUser& user);

// TIOCSWINSZ; the kernel sends SIGWINCH when the size is another one. Sizes over 65535 are cut to that.
Status resize_terminal(int fd, const ssh::TerminalSize& size);

// Applies encoded terminal modes (RFC 4254 §8, RFC 8160); opcodes that this system does not have are skipped.
void apply_modes(termios& settings, const std::vector<ssh::TerminalMode>& modes);

}  // namespace mezite::agent
