// A tree of files that is copied from or to, here or on a node.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hh"

namespace mezite::client {

struct TreeEntry {
  enum class Kind { kFile, kDirectory, kOther };  // kOther: sockets, devices, pipes
  Kind kind = Kind::kFile;
  std::uint64_t size = 0;
  std::uint32_t permissions = 0644;  // at most 0777
  std::int64_t accessed = 0;         // seconds since 1970
  std::int64_t modified = 0;
};

struct NamedEntry {
  std::string name;
  std::optional<TreeEntry> entry;  // when it came with the list and is no link
};

enum class Preserve { kNo, kYes };

// Calls block. Errors say why, not which path.
class FileTree {
 public:
  virtual ~FileTree() = default;
  // Of what links point to. kNotFound when there is nothing.
  virtual Result<TreeEntry> stat(const std::string& path) = 0;
  virtual Result<std::vector<NamedEntry>> list(const std::string& folder) = 0;
  // One that is not there yet; its owner may always write to it until finish_directory().
  virtual Status make_directory(const std::string& path, std::uint32_t permissions) = 0;
  // All is in it: its permissions (and, preserved, its times).
  virtual Status finish_directory(const std::string& path, const TreeEntry& like, Preserve preserve) = 0;
  // A path for people: "web-01:/etc/hosts".
  virtual std::string where(const std::string& path) const = 0;
};

}  // namespace mezite::client
