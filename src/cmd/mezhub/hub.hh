// The life of the hub's process.
#pragma once

#include <filesystem>
#include <optional>

#include "auth/config.hh"

namespace mezite::hub {

// Starts everything, serves until SIGTERM or SIGINT, drains, stops. Gives when all is stopped and flushed; an error is
// one sentence about what kept it from starting, with nothing of it left running. `file` is read again on SIGHUP.
// To be called once, before the process has made a thread.
Status run(auth::Config config, const std::optional<std::filesystem::path>& file);

}  // namespace mezite::hub
