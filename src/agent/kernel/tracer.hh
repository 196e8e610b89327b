// Follows the programs and connections of sessions in the kernel, and tells of them as audit events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audit/event.hh"
#include "base/result.hh"

namespace mezite::agent {

// What the tracer is told of a session: how its events look before their details are filled in. Called on the tracer's
// thread, also after the session has ended, for as long as a process of it lives.
struct TracedSession {
  std::function<audit::Event(audit::EventKind kind)> make_event;
  std::string login;
};

class KernelTracer {
 public:
  using Emit = std::function<void(std::vector<audit::Event> events)>;

  // Loads the programs. kUnavailable with the reason when this kernel, this machine or this build has not what it
  // takes. `emit` is called on the tracer's thread and may block.
  static Result<std::unique_ptr<KernelTracer>> open(Emit emit);
  // Tells of what has happened until now.
  ~KernelTracer();
  KernelTracer(const KernelTracer&) = delete;
  KernelTracer& operator=(const KernelTracer&) = delete;

  // What is used: "eBPF: programs (sched_process_exec), connections (cgroup connect and sendmsg hooks)".
  const std::string& description() const;

  // Processes that the calling thread forks while this lives are the session's.
  class Starting {
   public:
    Starting(Starting&& other) noexcept;
    Starting& operator=(Starting&&) = delete;
    ~Starting();

   private:
    friend class KernelTracer;
    Starting(KernelTracer* tracer, std::uint32_t thread) : tracer_(tracer), thread_(thread) {}
    KernelTracer* tracer_;
    std::uint32_t thread_;
  };
  // Any thread. kResourceExhausted when too many sessions are followed.
  Result<Starting> start(TracedSession session);

 private:
  struct State;
  explicit KernelTracer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::agent
