// Making TCP connections, asynchronously on a shard or blocking (for the command-line programs).
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/unique_fd.hh"
#include "net/address.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"

namespace mezite::net {

struct Connected {
  UniqueFd fd;  // non-blocking, close-on-exec, TCP_NODELAY
  Address peer;
};

// Makes the socket to connect with; none with errno set.
using SocketMaker = std::function<UniqueFd(int family)>;

// Resolves on a worker, tries each address in turn, calls then once, on the shard. The errors name host, port and
// cause. make_socket, if given, makes the (non-blocking, close-on-exec) sockets.
void async_connect(Shard& shard, WorkerPool& workers, HostPort target, std::chrono::milliseconds timeout,
                   std::move_only_function<void(Result<Connected>)> then, SocketMaker make_socket = {});

// The same for a thread without a shard; the descriptor that comes back is blocking.
Result<Connected> connect_blocking(const HostPort& target, std::chrono::milliseconds timeout);

// O_NONBLOCK off or on; close-on-exec and TCP_NODELAY (where it applies) always.
Status prepare_socket(int fd);
Status set_blocking(int fd);

}  // namespace mezite::net
