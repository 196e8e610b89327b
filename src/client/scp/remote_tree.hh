// Files of a node as a tree.
#pragma once

#include <string>
#include <vector>

#include "client/scp/tree.hh"
#include "client/sftp/remote_files.hh"

namespace mezite::client {

TreeEntry entry_of(const ssh::sftp::Attributes& attributes);

class RemoteTree final : public FileTree {
 public:
  explicit RemoteTree(SftpConnection& connection) : files_(connection) {}

  Result<TreeEntry> stat(const std::string& path) override;
  Result<std::vector<NamedEntry>> list(const std::string& folder) override;
  Status make_directory(const std::string& path, std::uint32_t permissions) override;
  Status finish_directory(const std::string& path, const TreeEntry& like, Preserve preserve) override;
  std::string where(const std::string& path) const override;

  // The paths that a pattern of glob(7) means, sorted. One that exists by that very name means itself; kNotFound when
  // nothing matches.
  Result<std::vector<std::string>> matches(const std::string& pattern);

  RemoteFiles& files() { return files_; }
  SftpConnection& connection() { return files_.connection(); }

 private:
  mutable RemoteFiles files_;
};

}  // namespace mezite::client
