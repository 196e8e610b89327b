// The process behind a connection of the Workload API, as the kernel knows it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hh"
#include "base/unique_fd.hh"
#include "spiffe/selector.hh"

namespace mezite::agent {

// Immutable. The process is held by a descriptor (pidfd_open(2)): whatever its number comes to mean later, this never
// speaks of another one.
class Peer {
 public:
  // Who connected, of an accepted Unix socket (SO_PEERCRED). kPermissionDenied: it is not to be told any more.
  static Result<std::shared_ptr<const Peer>> of_socket(int fd);
  // The same from credentials, with another /proc: for tests. pidfd: of that process.
  static Result<std::shared_ptr<const Peer>> of_process(UniqueFd pidfd, pid_t pid, uid_t uid, gid_t gid,
                                                        const std::filesystem::path& proc);

  // What selectors are compared with, as it is now. Blocks (names of users and groups). kPermissionDenied when the
  // process has ended, runs another program, or another user's rights than when it connected.
  Result<spiffe::Process> attest() const;

  pid_t pid() const { return pid_; }
  uid_t uid() const { return uid_; }
  gid_t gid() const { return gid_; }
  bool has_ended() const;

 private:
  struct Program {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const Program&) const = default;
  };
  struct Looked {
    std::uint64_t started = 0;  // clock ticks since boot
    uid_t uid = 0;
    gid_t gid = 0;
    std::optional<Program> program;  // not when this user may not know it
    std::string path;
    std::string unit;
  };
  Peer() = default;
  Result<Looked> look() const;

  UniqueFd pidfd_;
  pid_t pid_ = 0;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::filesystem::path folder_;  // /proc/<pid>
  std::uint64_t started_ = 0;
  std::optional<Program> program_;
};

// The system unit of a process, by its /proc/<pid>/cgroup; "" for none. What users' own managers and containers make
// below a unit is that unit: only the system manager says who is what.
std::string systemd_unit_of(std::string_view cgroup);

}  // namespace mezite::agent
