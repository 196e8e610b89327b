// The life of the hub's process.
#pragma once

#include <filesystem>
#include <optional>

#include "auth/config.hh"
#include "base/result.hh"

namespace mezite::hub {

// What run() waits for, in this thread and all that are made from it: before the process makes any.
Status block_hub_signals();

// Starts everything, serves until SIGTERM or SIGINT, drains, stops. Gives when all is stopped and flushed; an error is
// one sentence about what kept it from starting, with nothing of it left running. `file` is read again on SIGHUP.
// To be called once, after block_hub_signals().
Status run(auth::Config config, const std::optional<std::filesystem::path>& file);

}  // namespace mezite::hub
