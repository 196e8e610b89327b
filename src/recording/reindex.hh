// What recordings say of themselves, for an index that was lost.
#pragma once

#include <filesystem>
#include <string_view>

#include "recording/object_store.hh"
#include "recording/storage.hh"

namespace mezite::recording {

// Reads, verifies and hashes all of the file, as when a recording has come. `owner` is the node of its header, which is
// what the hub has let upload it. `hub` verifies the tags of what was made for it; of what was made for another hub, or
// with null, the sums only. problem: it does not verify. Not complete: not all of it is there; whoever was uploading it
// goes on. kCorrupt: it has no header of this session that can be read, so that nobody can say whose it is.
Result<StoredRecording> examine_file(const std::filesystem::path& path, std::string_view session_id,
                                     const Identity* hub);

// The same of an object: its header, and what is kept with it; where that says too little, all of it is read.
Result<StoredRecording> examine_object(ObjectStore& store, std::string_view session_id, const Identity* hub);

}  // namespace mezite::recording
