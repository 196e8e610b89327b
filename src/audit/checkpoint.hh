// The end of the chain: number and hash of the newest event, sealed, in the database and beside it. Inside src/audit/
// only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "audit/chain.hh"
#include "base/unique_fd.hh"
#include "store/session.hh"

namespace mezite::audit {

struct Checkpoint {
  std::int64_t sequence = 0;
  ChainHash hmac{};
  std::string key_id{kNoKeyId};
  ChainHash seal{};

  bool is_sealed(const ChainKeys& keys) const;
};

Checkpoint make_checkpoint(const ChainKeys& keys, std::int64_t sequence, const ChainHash& hmac);

Result<std::optional<Checkpoint>> load_checkpoint(store::Session& session);
Status store_checkpoint(store::Session& transaction, const Checkpoint& checkpoint);

// The copy in a file. Written after each commit and not synced: it may be behind the database after a crash, never
// ahead of it.
class CheckpointFile {
 public:
  static Result<CheckpointFile> open(const std::filesystem::path& path);
  std::optional<Checkpoint> read() const;  // nothing when it is empty or not one
  Status write(const Checkpoint& checkpoint);

 private:
  explicit CheckpointFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace mezite::audit
