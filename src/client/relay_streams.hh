// Standard input and output joined with a socket: for ProxyCommand.
#pragma once

#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::client {

// Until the socket's end, or until neither direction has anything more to give. Blocking.
Status relay_standard_streams(UniqueFd socket);

}  // namespace mezite::client
