// From what the kernel tells of one session to audit events: exit codes joined to their programs, repeated connections
// counted, rates bounded. No kernel in here: time and records are given.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kernel/tracer.hh"
#include "base/clock.hh"

namespace mezite::agent {

inline constexpr std::size_t kMaxProgramsPerSecond = 200;
inline constexpr std::size_t kMaxConnectionsPerSecond = 100;
inline constexpr std::chrono::milliseconds kWaitForExit{1000};

struct ProgramRun {
  std::uint32_t pid = 0, ppid = 0, uid = 0;
  std::string path;
  std::string arguments;  // each with its NUL
  bool arguments_cut = false;
};
struct SeenConnection {
  std::uint32_t pid = 0, uid = 0;
  std::string address;  // numeric
  std::uint16_t port = 0;
  std::uint32_t protocol = 0;
  std::string program;
  auto operator<=>(const SeenConnection&) const = default;
};

class SessionEvents {
 public:
  explicit SessionEvents(TracedSession session) : session_(std::move(session)) {}

  void ran(ProgramRun program, SteadyTime now);
  void exited(std::uint32_t pid, std::uint32_t wait_status);
  void connected(SeenConnection connection, SteadyTime now);
  // Of what the kernel could not tell, since the last time.
  void lost(std::uint64_t commands, std::uint64_t connections);

  enum class All { kNo, kYes };
  // Adds the events whose time has come: of programs that have ended, or have run for a second; kYes: all.
  void collect(SteadyTime now, All all, std::vector<audit::Event>& out);

 private:
  struct Waiting {
    ProgramRun program;
    SteadyTime since;
    SystemTime at;
    std::optional<std::uint32_t> wait_status;
  };
  bool within(std::size_t& count, std::size_t most, SteadyTime now);

  TracedSession session_;
  std::deque<Waiting> programs_;
  std::map<SeenConnection, std::uint64_t> connections_;
  SteadyTime second_{};  // in which the rates are counted
  std::size_t programs_in_second_ = 0, connections_in_second_ = 0;
  std::uint64_t lost_commands_ = 0, lost_connections_ = 0;
  SteadyTime connections_since_{};
};

}  // namespace mezite::agent
