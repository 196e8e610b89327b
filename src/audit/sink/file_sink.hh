// A file with one JSON object a line. Inside src/audit/sink/ only.
#pragma once

#include <filesystem>

#include "audit/sink/sink.hh"
#include "base/unique_fd.hh"

namespace mezite::audit {

// Synced before a batch counts as delivered. A file that was renamed or removed (logrotate) is opened anew; one that
// was truncated in place is appended to. A line that a crash tore is taken away before the next is written.
class FileSink final : public Sink {
 public:
  explicit FileSink(std::filesystem::path path) : path_(std::move(path)) {}
  const char* name() const override { return "file"; }
  std::string target() const override { return path_.string(); }
  Status deliver(std::span<const StoredEvent> events, const StopFlag& stop) override;

 private:
  Status open();
  bool is_still_there() const;
  const std::filesystem::path path_;
  UniqueFd fd_;
};

}  // namespace mezite::audit
