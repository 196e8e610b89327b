// What runs between fork and execve: async-signal-safe calls only, on memory that was laid out before the fork.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/process/spawn.hh"

namespace mezite::agent {

// Where a child failed, as it says on its report pipe before it exits. Closed without a report: execve() succeeded.
enum class SpawnStage : std::int32_t {
  kDescriptors = 1,
  kSession,
  kTerminal,
  kGroups,
  kIds,
  kRootRegained,
  kExecute,
  kHelper,  // the PAM helper; a text follows
};

struct SpawnReport {
  SpawnStage stage = SpawnStage::kExecute;
  std::int32_t error = 0;  // errno
};

Error describe(const SpawnReport& report, const SpawnRequest& request);

// argv and envp as execve() wants them; points into the request, which must outlive it unchanged.
class ChildImage {
 public:
  // groups: what request.groups stands for. It must live as long.
  ChildImage(const SpawnRequest& request, const std::vector<gid_t>& groups);

  // In the child. Never returns.
  [[noreturn]] void become(int report_fd) const;

 private:
  const SpawnRequest& request_;
  const std::vector<gid_t>& groups_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  bool root_ = false;
};

// As _Fork(), into a cgroup (Linux 5.7): moving there later would make every fork of the machine wait for the kernel's
// grace period, tens of milliseconds. The child runs on a copy of the memory; the caller waits until it has executed.
// -1 when there is no cgroup or the kernel refuses.
pid_t fork_into_cgroup(int cgroup_fd);

// In any forked child: the limits of keep_limits_for_sessions().
void restore_limits();

// In any forked child: default action for every signal, none blocked.
void reset_signals();

}  // namespace mezite::agent
