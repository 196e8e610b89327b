// $MEZITE_DATA_DIR/spool: recordings being written, and those that wait for their upload.
//
//   spool/<id>.live.mezrec   a session that runs (or ran when the process died)
//   spool/<id>.mezrec        finished, to be uploaded
//   spool/aside/<id>.mezrec  can't be uploaded; for a person to look at
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hh"
#include "recording/header.hh"
#include "recording/writer.hh"

namespace mezite::recording {

inline constexpr std::uint64_t kDefaultSpoolLimitBytes = std::uint64_t{10} << 30;

// Safe from any thread; it has no state but the folder.
class Spool {
 public:
  struct Recovered {
    std::vector<std::string> cut;    // ids of sessions that a crash ended; now waiting for upload
    std::vector<std::string> aside;  // ids of files that don't verify
  };

  // Makes the folder, takes its lock (another process that has it: kFailedPrecondition), and turns what a crash left
  // into recordings that wait for upload, their torn tails cut.
  static Result<Spool> open(const std::filesystem::path& folder, std::uint64_t limit_bytes = kDefaultSpoolLimitBytes);

  const Recovered& recovered() const { return recovered_; }

  // A writer for a new session; kResourceExhausted when the limit is reached.
  Result<Writer> create(const Header& header, SteadyTime now, std::span<const Recipient> recipients = {});
  std::filesystem::path live_path_of(std::string_view session_id) const;  // of one that runs
  // Removes one that runs and was never to be.
  Status discard(std::string_view session_id);
  // After Writer::finish(): the recording now waits for upload.
  Status release(std::string_view session_id);

  // Ids that wait for upload, oldest first.
  Result<std::vector<std::string>> waiting() const;
  std::filesystem::path path_of(std::string_view session_id) const;  // of one that waits
  // After a verified receipt, never before.
  Status remove(std::string_view session_id);
  // Moves one that can never be uploaded to aside/ so that it does not hold up the others.
  Status set_aside(std::string_view session_id);

  struct Backlog {
    std::uint64_t waiting = 0;  // files
    std::uint64_t aside = 0;
    std::uint64_t bytes = 0;                  // of all, those of sessions that run included
    std::chrono::milliseconds oldest_age{0};  // since the oldest waiting one was finished, by the wall clock
  };
  Backlog backlog() const;

  // Bytes in the folder, aside included.
  std::uint64_t size_bytes() const;
  std::uint64_t limit_bytes() const { return limit_bytes_; }

 private:
  Spool() = default;
  std::filesystem::path folder_;
  std::uint64_t limit_bytes_ = 0;
  UniqueFd lock_;
  Recovered recovered_;
};

}  // namespace mezite::recording
