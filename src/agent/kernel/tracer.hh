// Follows the programs and connections of sessions in the kernel, and tells of them as audit events.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audit/event.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {

// What the tracer is told of a session: how its events look before their details are filled in. Called on the tracer's
// thread, also after the session has ended, for as long as a process of it lives.
struct TracedSession {
  std::function<audit::Event(audit::EventKind kind)> make_event;
  std::string login;
  std::string session_id;
  uid_t uid = 0;  // of the login
};

// kBest: eBPF, and where that can't be had the audit subsystem.
enum class TracerChoice { kBest, kBpf, kAudit };

class KernelTracer {
 public:
  // Called on the tracer's thread; may block.
  using Emit = std::function<void(std::vector<audit::Event> events)>;

  // kUnavailable with the reason when this kernel, this machine or this build has not what it takes.
  static Result<std::unique_ptr<KernelTracer>> open(TracerChoice choice, Emit emit);
  // Tells of what has happened until now.
  virtual ~KernelTracer() = default;
  KernelTracer(const KernelTracer&) = delete;
  KernelTracer& operator=(const KernelTracer&) = delete;

  // What is used: "eBPF: programs (sched_process_exec), connections (cgroup connect and sendmsg hooks)".
  virtual const std::string& description() const = 0;

  // Processes that the calling thread forks while this lives are the session's. Ends on that thread.
  class Starting {
   public:
    virtual ~Starting() = default;
    // The folder of the session's own cgroup, in which its first process is to begin; -1: it has none.
    int cgroup() const { return cgroup_.get(); }

   protected:
    UniqueFd cgroup_;
  };
  // Any thread. kResourceExhausted when too many sessions are followed.
  virtual Result<std::unique_ptr<Starting>> start(TracedSession session) = 0;

 protected:
  KernelTracer() = default;
};

}  // namespace mezite::agent
