// Launching a program so that the kernel's account of it becomes the session's. Internal to session/.
#pragma once

#include "agent/kernel/tracer.hh"
#include "agent/session/context.hh"
#include "agent/session/launch.hh"

namespace mezite::agent {

// Whose session it is; the node is the one of now.
struct TracedPrincipal {
  Principal principal;
  std::string client_ip;
  std::string session_id;
};

// As launch(). With enhanced recording on, the programs and connections that follow are told of. Where that can't be
// had the session goes on and an event says so; with "require" the error says so, of kFailedPrecondition.
Result<Launched> launch_traced(ServerContext& context, const LaunchRequest& request, const TracedPrincipal& who);

}  // namespace mezite::agent
