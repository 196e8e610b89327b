// The node agent as a whole: joins if it must, then serves until it is told to stop.
#pragma once

#include <filesystem>

#include "agent/settings/config.hh"
#include "base/result.hh"

namespace mezite::agent {

// Blocks until SIGTERM or SIGINT; these and SIGHUP (labels are read again from the file and the commands) must be
// blocked already: block_agent_signals() before the process has a second thread. Success: stopped in good order.
Status run_agent(Config config, const std::filesystem::path& config_file);

Status block_agent_signals();

}  // namespace mezite::agent
