// Decides what goes where: sources into a target, folders with what is in them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hh"
#include "client/scp/mover.hh"
#include "client/scp/tree.hh"

namespace mezite::client {

struct CopyOptions {
  bool recursive = false;
  Preserve preserve = Preserve::kNo;
};

class Copier {
 public:
  // failed: one file or folder could not be copied; the rest goes on.
  using OnFailed = std::function<void(const std::string& where, const Error& why)>;
  Copier(FileTree& from, FileTree& to, CopyOptions options, OnFailed failed)
      : from_(from), to_(to), options_(options), failed_(std::move(failed)) {}
  void set_mover(Mover& mover) { mover_ = &mover; }

  // As cp and scp: into `target` where that is a folder, as `target` where not (one source then). An error ends it all:
  // the target can't be, or the connection is gone; what was begun is waited for all the same.
  Status copy(const std::vector<std::string>& sources, const std::string& target);

 private:
  // Whether something may be at the target: asked for only where it is not known.
  enum class Target { kUnknown, kNothing };
  Status copy_into(const std::vector<std::string>& sources, const std::string& target);
  Status copy_one(const std::string& source, const std::optional<TreeEntry>& known, const std::string& target,
                  Target about, unsigned depth);
  Status copy_folder(const std::string& source, const TreeEntry& entry, const std::string& target, Target about,
                     unsigned depth);
  Status finish();

  FileTree& from_;
  FileTree& to_;
  const CopyOptions options_;
  const OnFailed failed_;
  Mover* mover_ = nullptr;
  struct Folder {
    std::string path;
    TreeEntry like;
  };
  std::vector<Folder> folders_;    // whose permissions and times are set when all is in them
  std::set<std::string> targets_;  // of the arguments: two sources of one name would overwrite each other
};

}  // namespace mezite::client
