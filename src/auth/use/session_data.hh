// What agents bring of their sessions: events, recordings. recording_access.hh: what users may see of it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

inline constexpr std::size_t kMaxEventsPerCall = 256;
inline constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 20;

struct RefusedEvent {
  std::size_t index = 0;  // in the call
  std::string problem;    // one sentence
};
struct EmittedEvents {
  std::size_t stored = 0;  // that were new
  std::vector<RefusedEvent> refused;
};

// Durable when it returns. The agent speaks for itself only: server_id, server_hostname and cluster_name are set to its
// own. What is no event, or of a type that is not an agent's to tell, is refused by itself; the log then holds an event
// that says so (audit.event.refused, authz.denied) with the text that came, and the others of the call are stored.
Result<EmittedEvents> emit_agent_events(Services& services, const Caller& agent,
                                        std::span<const std::string_view> events);

// The recording belongs to the node that began it. session.recording.uploaded when it is whole.
Result<recording::PutReceipt> put_recording_chunk(Services& services, const Caller& agent,
                                                  const recording::PutRequest& request);

// The chain_id() that the node told of when the session started; empty when it did not, or not yet. Only the first
// telling counts: who takes over the node can tell more, but not earlier.
Result<std::string> chain_of_start(const Services& services, std::string_view node_id, std::string_view session_id);

}  // namespace mezite::auth
