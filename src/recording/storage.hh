// The hub's recordings in a folder: one append-only file each, and index.jsonl, to which a line is added for each
// change. A copy made by tar or rsync at any moment is consistent up to its last whole line and segment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recording/header.hh"
#include "recording/uploader.hh"

namespace mezite::recording {

struct StoredRecording {
  Header header;
  std::string owner;                   // the node id that uploads it
  std::optional<SystemTime> ended_at;  // of its end event; none: still coming, or cut off
  std::uint64_t size_bytes = 0;
  bool complete = false;  // all there, hash verified
  std::string problem;    // why a complete one does not verify from within; empty: it does
};

struct ReadChunk {
  Bytes data;
  bool eof = false;
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
  Status remove(std::string_view session_id);

 private:
  struct State;
  explicit LocalStorage(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::recording
