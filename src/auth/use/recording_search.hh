// Finding commands in recorded sessions: who may, and keeping the index.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"
#include "recording/search/command_index.hh"

namespace mezite::auth {

struct FoundCommands {
  std::vector<recording::IndexedCommand> commands;
  // Of the recordings that were asked for and that the caller may see: what could not be searched.
  std::int64_t encrypted = 0, unreadable = 0, not_indexed = 0;
};
// The caller's own, or with the right to read recordings everybody's, which is audited. Asking for another user's or
// another's session without that right is refused and audited.
Result<FoundCommands> search_recordings(Services& services, const Caller& caller, recording::CommandFilter filter);

// Puts a recording that has arrived into the index, on a worker; what can't be done now `index_recordings` does.
void index_soon(Services& services, std::string_view session_id);

struct IndexRun {
  std::int64_t indexed = 0, commands = 0, encrypted = 0, unreadable = 0, remaining = 0;
};
// Those that are missing, for some seconds; or one of them, again. A rule on "recordings" with "update".
Result<IndexRun> index_recordings(Services& services, const Caller& caller, std::string_view session_id);

}  // namespace mezite::auth
