// One agent on 3024: authenticates it by its host certificate, speaks the control channel.
#pragma once

#include <memory>
#include <string>

#include "net/ssh_link.hh"
#include "proxy/context.hh"
#include "proxy/control_frames.hh"
#include "proxy/node_reports.hh"

namespace mezite::proxy {

class AgentConnection;

// Takes an accepted connection of 3024, on its shard.
void serve_tunnel(Context& context, NodeReports& reports, net::Shard& shard, UniqueFd fd, net::Address peer);

}  // namespace mezite::proxy
