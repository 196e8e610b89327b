// The lock that keeps a second hub off a database.
#pragma once

#include <filesystem>

#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::store {

// Held until the descriptor is closed, by a crash too. The file stays: taking it away would let two hubs lock two files
// of the same name. kFailedPrecondition names the process that has it.
Result<UniqueFd> take_lock_file(const std::filesystem::path& path);

}  // namespace mezite::store
