// One process at a time in a folder.
#pragma once

#include <filesystem>

#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::recording {

// Holds folder/.lock until the descriptor is closed or the process ends. kFailedPrecondition when another process has
// it.
Result<UniqueFd> lock_folder(const std::filesystem::path& folder);

}  // namespace mezite::recording
