// Copies single files from one tree to another, several at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.hh"
#include "client/scp/remote_tree.hh"
#include "client/scp/tree.hh"

namespace mezite::client {

struct MoveOptions {
  Preserve preserve = Preserve::kNo;
  bool resume = false;  // what is at the target is the beginning of the file, and stays
};

struct FileMove {
  std::string from;
  std::string to;
  TreeEntry entry;
  bool target_exists = false;  // or may exist
};

enum class CopySide { kSource, kTarget };

// Who watches. `done` with what came of each file, in whatever order; an error is about that side. Not for files that a
// connection that ended took with it: that is what move() and finish() give.
struct MoveEvents {
  std::function<void(const FileMove& move)> started;
  std::function<void(std::uint64_t bytes)> progress;
  std::function<void(const FileMove& move, const Status& status, CopySide side)> done;
};

class Mover {
 public:
  virtual ~Mover() = default;
  // Begins it, after waiting for room. An error means that no further file can be copied: the connection is gone.
  virtual Status move(FileMove move) = 0;
  // Waits for all that were begun.
  virtual Status finish() = 0;
  // The error of a connection that is gone.
  virtual Status usable() const = 0;
};

// The trees outlive the mover.
std::unique_ptr<Mover> make_download(RemoteTree& from, MoveOptions options, MoveEvents events);
std::unique_ptr<Mover> make_upload(RemoteTree& to, MoveOptions options, MoveEvents events);
// From node to node by way of a file without a name in $TMPDIR, one file at a time.
std::unique_ptr<Mover> make_relay(RemoteTree& from, RemoteTree& to, MoveOptions options, MoveEvents events);

}  // namespace mezite::client
