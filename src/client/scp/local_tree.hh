// Files of this machine: the tree, and one file as source and sink of a transfer.
#pragma once

#include <string>

#include "base/unique_fd.hh"
#include "client/scp/tree.hh"
#include "ssh/sftp/transfer.hh"

namespace mezite::client {

class LocalTree final : public FileTree {
 public:
  Result<TreeEntry> stat(const std::string& path) override;
  Result<std::vector<NamedEntry>> list(const std::string& folder) override;
  Status make_directory(const std::string& path, std::uint32_t permissions) override;
  Status finish_directory(const std::string& path, const TreeEntry& like, Preserve preserve) override;
  std::string where(const std::string& path) const override;
};

class LocalSource final : public ssh::sftp::FileSource {
 public:
  // A regular file.
  Status open(const std::string& path);
  explicit LocalSource(UniqueFd fd = {}) : fd_(std::move(fd)) {}
  Result<std::size_t> read(std::span<std::uint8_t> into, std::uint64_t offset) override;
  bool failed() const { return failed_; }  // a read did

 private:
  UniqueFd fd_;
  bool failed_ = false;
};

// Makes or empties the file at the first byte, so that a source that is not there harms nothing.
class LocalSink final : public ssh::sftp::FileSink {
 public:
  enum class Start { kEmpty, kAppend };
  LocalSink(std::string path, std::uint32_t permissions, Start start)
      : path_(std::move(path)), permissions_(permissions), start_(start) {}
  explicit LocalSink(UniqueFd fd) : fd_(std::move(fd)) {}
  Status write(BytesView bytes, std::uint64_t offset) override;
  // All is there: an empty file is made now; permissions and times are set when they are to be preserved.
  Status finish(const TreeEntry& like, Preserve preserve);
  bool failed() const { return failed_; }  // a write did

 private:
  Status open();
  Status write_all(BytesView bytes, std::uint64_t offset);
  std::string path_;
  std::uint32_t permissions_ = 0600;
  Start start_ = Start::kEmpty;
  UniqueFd fd_;
  std::uint64_t next_ = 0;
  bool seekable_ = true;
  bool failed_ = false;
};

// A file without a name in $TMPDIR, gone with its descriptor.
Result<UniqueFd> make_unnamed_file();

}  // namespace mezite::client
