// Listening and connecting on this machine, for forwards.
#pragma once

#include <vector>

#include "base/unique_fd.hh"
#include "client/forward_spec.hh"

namespace mezite::client {

// Non-blocking. Without a bind address only this machine can connect, with "*" everybody; a Unix socket is its user's
// only (mode 0600) and must not be there already. The errors name address and cause.
Result<std::vector<UniqueFd>> listen_on(const ForwardPoint& point);

// To a Unix socket; non-blocking.
Result<UniqueFd> connect_to_socket(const std::string& path);

}  // namespace mezite::client
