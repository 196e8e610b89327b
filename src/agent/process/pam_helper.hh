// PAM around a session, in a process of its own: modules are foreign code that may call what it likes.
#pragma once

#include "agent/process/spawn.hh"

namespace mezite::agent {

// Starts this program again as the helper (run_session_helper()), which runs account and session management, forks the
// user's program, waits for it, closes the PAM session and ends as the program ended. Blocks until the program runs.
Result<Spawned> spawn_with_pam(const SpawnRequest& request);

}  // namespace mezite::agent
