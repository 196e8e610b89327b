// What recordings say of themselves, for an index that was lost.
#pragma once

#include <filesystem>
#include <string_view>

#include "recording/object_store.hh"
#include "recording/storage.hh"

namespace mezite::recording {

// Reads, verifies and hashes all of the file. `owner` is the node of its header, which is what the hub has let upload
// it. Not complete: it has no end; whoever was uploading it goes on. problem: it does not verify. kCorrupt: it has no
// header of this session that can be read, so that nobody can say whose it is.
Result<StoredRecording> examine_file(const std::filesystem::path& path, std::string_view session_id);

// The same of an object: its header, and what is kept with it; where that says too little, all of it is read.
Result<StoredRecording> examine_object(ObjectStore& store, std::string_view session_id);

}  // namespace mezite::recording
