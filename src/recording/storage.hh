// The hub's recordings in a folder: one append-only file each, and index.jsonl, to which a line is added for each
// change. A copy made by tar or rsync at any moment is consistent up to its last whole line and segment. With an object
// store the folder is the durable queue in front of it, and the index tells what is where.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recording/header.hh"
#include "recording/object_store.hh"
#include "recording/uploader.hh"

namespace mezite::recording {

struct StoredRecording {
  Header header;
  std::string owner;                   // the node id that uploads it
  std::optional<SystemTime> ended_at;  // of its end event; none: still coming, or cut off
  std::uint64_t size_bytes = 0;
  bool complete = false;  // all there, hash verified
  std::string problem;    // why a complete one does not verify from within, tags included; empty: it does
  std::string sha256;     // hexadecimal, of a complete one
  bool archived = false;  // in the object store, not on this disk
};

// Safe from any thread. Calls block on the disk: use them from a worker.
class LocalStorage {
 public:
  // Makes the folder and reads the index. Refuses a folder that another process has open.
  static Result<LocalStorage> open(const std::filesystem::path& folder);
  LocalStorage(LocalStorage&&) noexcept;
  LocalStorage& operator=(LocalStorage&&) noexcept;
  ~LocalStorage();

  // As UploadTarget::put(), durable when it returns. `owner` is the node id of the caller's certificate: a recording
  // that another node began is kPermissionDenied. The header's session id must be the request's; chunks over 4 MiB are
  // refused.
  Result<PutReceipt> put(std::string_view owner, const PutRequest& request);

  // At most 1 MiB from the offset. eof: nothing follows.
  Result<ReadChunk> read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) const;

  Result<StoredRecording> get(std::string_view session_id) const;
  // Newest first. Empty filters match all; limit 0: no limit.
  std::vector<StoredRecording> list(std::string_view user = {}, std::string_view node = {},
                                    std::size_t limit = 0) const;
  // Also from the object store, when it is there.
  Status remove(std::string_view session_id);

  // The hub's key, with which the tags of a recording are verified when the last of it has come; outlives the storage's
  // use. Null: its sums only.
  void set_recording_key(const Identity* key);

  // Where archived recordings are read from; outlives the storage's use. Null: they can't be read.
  void set_object_store(ObjectStore* store);
  // Complete ones that are on this disk, the oldest first.
  std::vector<StoredRecording> unarchived() const;
  std::filesystem::path path_of(std::string_view session_id) const;
  // The object store has it durably: noted in the index, then the file goes.
  Status mark_archived(std::string_view session_id);

  // There was no index when it was opened: what the folder and the object store hold is not known of.
  bool index_was_missing() const;
  struct Unindexed {
    std::vector<std::string> session_ids;  // of recordings in the folder that the index does not know, ascending
    std::int64_t known = 0;                // of those that it does
  };
  Result<Unindexed> unindexed() const;
  // Takes a recording into the index that is there already, in the folder or (archived) in the object store, as it is
  // described. kAlreadyExists: the index knows it; kFailedPrecondition: the file is not of the described size any more.
  Status adopt(const StoredRecording& recording);

 private:
  struct State;
  explicit LocalStorage(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::recording
