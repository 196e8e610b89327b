// What the records of the kernel's audit subsystem say of programs and connections. Text in, events out: no kernel
// here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mezite::agent {

// Of one architecture: the system calls that matter.
struct SystemCalls {
  std::uint32_t architecture;  // AUDIT_ARCH_*
  std::uint32_t execve, execveat, exit_group, socket, connect, sendto, sendmsg, sendmmsg;
};
// This machine's own first, then the one of its 32-bit programs.
std::span<const SystemCalls, 2> system_calls();

struct AuditEvent {
  enum class Kind { kProgram, kExit, kSocket, kConnection, kNewSession };
  Kind kind = Kind::kProgram;
  std::uint32_t session = 0;  // the kernel's number ("ses")
  std::uint32_t pid = 0, ppid = 0, uid = 0;
  std::string program;  // its name (comm)

  std::string path;       // kProgram: as it was called
  std::string arguments;  // kProgram: each with its NUL, the first 2 KiB of them
  bool arguments_cut = false;

  std::uint32_t exit_code = 0;  // kExit

  std::uint32_t descriptor = 0;  // kSocket, kConnection
  std::uint32_t protocol = 0;    // kSocket: IPPROTO_*, 0: another
  std::string address;           // kConnection: numeric
  std::uint16_t port = 0;

  std::uint32_t new_session = 0;  // kNewSession: what `session` is from now on, for that process
};

// Puts the records of one event together. At most kMaxOpen events wait for their last record; the oldest give way.
class AuditRecords {
 public:
  static constexpr std::size_t kMaxOpen = 512;
  static constexpr std::size_t kMaxArgumentBytes = 2048;

  // One record, as the kernel sends it: "audit(1700000000.123:456): arch=c000003e syscall=59 …". What it completes.
  std::optional<AuditEvent> take(std::uint16_t type, std::string_view text);

 private:
  struct Open {
    AuditEvent event;
    bool counts = false;  // a system call of interest, that succeeded where that matters
  };
  void system_call(std::string_view fields, Open& open);
  std::map<std::uint64_t, Open> open_;  // by serial number
};

}  // namespace mezite::agent
