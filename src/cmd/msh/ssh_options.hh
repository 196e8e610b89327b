// What the flags of `msh ssh` and its -o options mean together.
#pragma once

#include "client/ssh_session.hh"
#include "client/target.hh"
#include "cmd/msh/commands.hh"

namespace mezite::msh {

// Flags go over -o, and of several -o with one key the first counts, as with ssh; forwards add up.
struct SshPlan {
  client::PtyMode pty = client::PtyMode::kAuto;
  bool no_session = false;
  bool background = false;
  bool no_input = false;
  std::optional<client::ForwardPoint> stdio_forward;
  client::ForwardingOptions forwarding;
  std::vector<client::SshOption> options;  // all of -o
};

// Also finds the agent and the display, when they are to be forwarded.
Result<SshPlan> plan_ssh(const SshOptions& flags);

}  // namespace mezite::msh
