#include "agent/kernel/session_events.hh"

#include <netinet/in.h>
#include <sys/wait.h>

namespace mezite::agent {
namespace {

using audit::EventKind;

std::vector<std::string> words_of(std::string_view arguments) {
  std::vector<std::string> words;
  while (!arguments.empty()) {
    const std::size_t end = std::min(arguments.find('\0'), arguments.size());
    words.emplace_back(arguments.substr(0, end));
    arguments.remove_prefix(std::min(end + 1, arguments.size()));
  }
  return words;
}

std::string protocol_name(std::uint32_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP: return "tcp";
    case IPPROTO_UDP: return "udp";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: return "icmp";
    default: return std::to_string(protocol);
  }
}

}  // namespace

bool SessionEvents::within(std::size_t& count, std::size_t most, SteadyTime now) {
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    programs_in_second_ = connections_in_second_ = 0;
  }
  return ++count <= most;
}

void SessionEvents::ran(ProgramRun program, SteadyTime now) {
  if (!within(programs_in_second_, kMaxProgramsPerSecond, now)) {
    ++lost_commands_;
    return;
  }
  programs_.push_back({std::move(program), now, std::chrono::system_clock::now(), std::nullopt});
}

void SessionEvents::exited(std::uint32_t pid, std::uint32_t wait_status) {
  // The last program that the process became: those before it were replaced by it and have no end of their own.
  for (auto it = programs_.rbegin(); it != programs_.rend(); ++it) {
    if (it->program.pid != pid || it->wait_status) continue;
    it->wait_status = wait_status;
    return;
  }
}

void SessionEvents::connected(SeenConnection connection, SteadyTime now) {
  if (auto known = connections_.find(connection); known != connections_.end()) {
    ++known->second;
    return;
  }
  if (!within(connections_in_second_, kMaxConnectionsPerSecond, now)) {
    ++lost_connections_;
    return;
  }
  if (connections_.empty()) connections_since_ = now;
  connections_.emplace(std::move(connection), 1);
}

void SessionEvents::lost(std::uint64_t commands, std::uint64_t connections) {
  lost_commands_ += commands;
  lost_connections_ += connections;
}

void SessionEvents::collect(SteadyTime now, All all, std::vector<audit::Event>& out) {
  // In the order in which they began: one that still runs holds up those behind it for a second at most.
  while (!programs_.empty()) {
    const Waiting& next = programs_.front();
    if (all == All::kNo && !next.wait_status && now - next.since < kWaitForExit) break;
    audit::Event event = session_.make_event(EventKind::kSessionProgram);
    event.timestamp = next.at;
    audit::Details details;
    details.add("login", session_.login)
        .add("pid", std::int64_t{next.program.pid})
        .add("ppid", std::int64_t{next.program.ppid})
        .add("uid", std::int64_t{next.program.uid})
        .add("path", next.program.path)
        .add("arguments", words_of(next.program.arguments));
    if (next.program.arguments_cut) details.add("arguments_cut", true);
    if (next.wait_status) {
      const int status = static_cast<int>(*next.wait_status);
      if (WIFEXITED(status)) details.add("exit_code", WEXITSTATUS(status));
      if (WIFSIGNALED(status)) details.add("signal", std::int64_t{WTERMSIG(status)});
    }
    event.details = details.text();
    out.push_back(std::move(event));
    programs_.pop_front();
  }
  if (!connections_.empty() && (all == All::kYes || now - connections_since_ >= kWaitForExit)) {
    for (const auto& [connection, times] : connections_) {
      audit::Event event = session_.make_event(EventKind::kSessionNetwork);
      event.details = audit::Details()
                          .add("login", session_.login)
                          .add("address", connection.address)
                          .add("port", std::int64_t{connection.port})
                          .add("protocol", protocol_name(connection.protocol))
                          .add("pid", std::int64_t{connection.pid})
                          .add("uid", std::int64_t{connection.uid})
                          .add("program", connection.program)
                          .add("times", static_cast<std::int64_t>(times))
                          .text();
      out.push_back(std::move(event));
    }
    connections_.clear();
  }
  if (lost_commands_ + lost_connections_ > 0 && (all == All::kYes || now - second_ >= std::chrono::seconds(1))) {
    audit::Event event = session_.make_event(EventKind::kSessionTracingLost);
    event.details = audit::Details()
                        .add("login", session_.login)
                        .add("commands", static_cast<std::int64_t>(lost_commands_))
                        .add("connections", static_cast<std::int64_t>(lost_connections_))
                        .text();
    event.error_message = "programs or connections of the session came faster than they are told of";
    out.push_back(std::move(event));
    lost_commands_ = lost_connections_ = 0;
  }
}

}  // namespace mezite::agent
