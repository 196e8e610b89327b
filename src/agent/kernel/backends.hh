// The ways to follow sessions in the kernel. Internal to kernel/.
#pragma once

#include "agent/kernel/tracer.hh"

namespace mezite::agent {

Result<std::unique_ptr<KernelTracer>> open_bpf_tracer(KernelTracer::Emit emit);
Result<std::unique_ptr<KernelTracer>> open_audit_tracer(KernelTracer::Emit emit);

}  // namespace mezite::agent
