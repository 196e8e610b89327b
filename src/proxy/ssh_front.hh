// Port 3023: SSH connections of users (ssh -J) and dial tickets. Nothing but nodes can be reached through it.
#pragma once

#include "proxy/context.hh"

namespace mezite::proxy {

// Takes an accepted connection of 3023, on its shard.
void serve_front(Context& context, net::Shard& shard, UniqueFd fd, net::Address peer);

}  // namespace mezite::proxy
