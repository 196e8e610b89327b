// A control group (cgroup v2) for each session that is followed: mezite/<session id> below the agent's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {

// Where cgroup v2 is mounted; empty: nowhere.
std::string cgroup_root();

class SessionCgroups {
 public:
  struct Group {
    std::filesystem::path path;
    UniqueFd folder;
    std::uint64_t id = 0;  // the kernel's number of it
  };

  // Makes the folder mezite and removes what an agent that was killed has left in it. kUnavailable with the reason: no
  // cgroup v2, no right to write, a container, a systemd unit without Delegate=yes.
  static Result<SessionCgroups> open();

  Result<Group> make(const std::string& session_id) const;
  // kFailedPrecondition while a process is in it (or in one that was made below it).
  static Status remove(const std::filesystem::path& path);

  // How deep the sessions' groups are below the root.
  std::uint32_t level() const { return level_; }

 private:
  SessionCgroups(std::filesystem::path base, std::uint32_t level) : base_(std::move(base)), level_(level) {}
  std::filesystem::path base_;
  std::uint32_t level_;
};

}  // namespace mezite::agent
