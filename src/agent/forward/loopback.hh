// TCP sockets on behalf of the login user: their owner is the user, as packet filters (owner match) and /proc/net/tcp
// see it, though a process of root makes them.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/process/login_user.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {

// A stream socket, non-blocking and close-on-exec; none with errno set. Any thread.
UniqueFd socket_of(const LoginUser& user, int family);

struct LoopbackPort {
  std::vector<UniqueFd> fds;  // 127.0.0.1, and ::1 where the node has it; listening
  std::uint16_t port = 0;
};

// Listens on the loopback addresses only, as sshd does with GatewayPorts=no; port 0: a free one, the same for both.
// Ports under 1024 are root's (kPermissionDenied). A port that is taken on one of the addresses is taken
// (kAlreadyExists): half a listener would let another user of the node have the other half.
Result<LoopbackPort> listen_on_loopback(const LoginUser& user, std::uint16_t port);

}  // namespace mezite::agent
