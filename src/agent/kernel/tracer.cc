#include "agent/kernel/tracer.hh"

#include <sys/stat.h>

#include "agent/kernel/backends.hh"

namespace mezite::agent {

Result<std::unique_ptr<KernelTracer>> KernelTracer::open(TracerChoice choice, Emit emit) {
  // The kernel tells of processes by their numbers in the first PID namespace, which has this fixed inode.
  struct stat space{};
  if (::stat("/proc/self/ns/pid", &space) != 0 || space.st_ino != 0xEFFFFFFCu) {
    return fail(ErrorCode::kUnavailable, "mezd runs in a PID namespace of its own (a container)");
  }
  if (choice == TracerChoice::kAudit) return open_audit_tracer(std::move(emit));
  auto bpf = open_bpf_tracer(emit);
  if (bpf || choice == TracerChoice::kBpf) return bpf;
  auto audit = open_audit_tracer(std::move(emit));
  if (audit) return audit;
  return fail(ErrorCode::kUnavailable, "eBPF: {}; the audit subsystem: {}", bpf.error().message, audit.error().message);
}

}  // namespace mezite::agent
