#include "auth/use/session_data.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "auth/record.hh"
#include "auth/recording_archive.hh"
#include "auth/use/recording_search.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "crypto/hash.hh"

namespace mezite::auth {
namespace {

// What happens at a node, as opposed to what the hub itself does and tells.
bool is_agent_event(std::string_view type) {
  static constexpr std::string_view kTypes[] = {
      "session.start",
      "session.end",
      "session.command",
      "session.network",
      "session.tracing.lost",
      "session.tracing.failed",
      "session.rejected",
      "session.recording.failed",
      "session.recording.uploaded",
      "recording.backlog",
      "access.denied",
      "port_forward",
      "agent_forward",
      "x11_forward",
      "sftp.open",
      "sftp.close",
      "sftp.rename",
      "sftp.remove",
      "sftp.mkdir",
      "sftp.rmdir",
      "sftp.setstat",
      "sftp.symlink",
      "sftp.link",
      "sftp.undecoded",
      "audit.event.refused",
      "workload.denied",
  };
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

// A UUID made of a text: the same event however often it is repeated.
std::string id_made_of(std::string_view text) {
  crypto::Sha256Digest digest = crypto::sha256(as_bytes(text));
  std::string hex = to_hex(BytesView(digest).first(16));
  hex[12] = '8';  // RFC 9562, version 8: made by a rule of ours
  hex[16] = "89ab"[digest[8] & 3];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

std::string id_of_upload(std::string_view session_id) {
  return id_made_of(fmt::format("session.recording.uploaded:{}", session_id));
}

// It is evidence: kept as it came.
Status tell_of_altered(Services& services, const Caller& agent, const recording::StoredRecording& stored) {
  audit::Event event = event_by(services, agent, audit::EventKind::kSessionRecordingAltered);
  event.id = id_made_of(fmt::format("session.recording.altered:{}", stored.header.session_id));
  event.user_name = stored.header.user;
  event.session_id = stored.header.session_id;
  event.resource_type = "recording";
  event.resource_name = stored.header.session_id;
  event.error_message = stored.problem;
  event.details = audit::Details()
                      .add("size_bytes", static_cast<std::int64_t>(stored.size_bytes))
                      .add("sha256", stored.sha256)
                      .text();
  log::error("a recording was altered at its node before it came; it is kept",
             {{"session", stored.header.session_id}, {"node", agent.node_name}, {"problem", stored.problem}});
  return record(services, event);
}

// What tells of a refused event. It holds the event itself: an agent that is told of the refusal keeps a copy, an older
// one takes it as stored.
audit::Event refusal(const Services& services, const Caller& agent, audit::EventKind kind, std::string_view json,
                     std::string_view problem) {
  constexpr std::size_t kMaxKeptBytes = 16 << 10;
  audit::Event event = event_by(services, agent, kind);
  event.id = id_made_of(fmt::format("{}:{}:{}", event.event_type, agent.name, json));
  event.resource_type = "audit_event";
  event.error_message = std::string(problem);
  event.details = audit::Details()
                      .add("event", json.substr(0, kMaxKeptBytes))
                      .add("bytes", static_cast<std::int64_t>(json.size()))
                      .add("sha256", to_hex(crypto::sha256(as_bytes(json))))
                      .text();
  return event;
}

}  // namespace

Result<std::string> chain_of_start(const Services& services, std::string_view node_id, std::string_view session_id) {
  audit::Filter filter{.type = "session.start", .session_id = std::string(session_id), .limit = 8};
  filter.after_sequence = 0;
  MEZ_TRY(const auto found, services.audit->list(filter));
  for (const audit::StoredEvent& one : found) {
    const auto event = audit::event_from_json(one.json);
    if (!event || event->server_id != node_id) continue;
    const auto details = nlohmann::json::parse(event->details, nullptr, false);
    const auto chain = details.find("chain");
    return chain != details.end() && chain->is_string() ? chain->get<std::string>() : std::string();
  }
  return std::string();
}

Result<EmittedEvents> emit_agent_events(Services& services, const Caller& agent,
                                        std::span<const std::string_view> events) {
  if (events.size() > kMaxEventsPerCall) {
    return fail(ErrorCode::kInvalidArgument, "{} events in one call; send at most {}", events.size(),
                kMaxEventsPerCall);
  }
  EmittedEvents emitted;
  std::vector<audit::Event> stored, refusals;
  for (std::size_t i = 0; i < events.size(); ++i) {
    Result<audit::Event> event = audit::event_from_json(events[i]);
    if (!event) {
      refusals.push_back(
          refusal(services, agent, audit::EventKind::kAuditEventRefused, events[i], event.error().message));
      emitted.refused.push_back({i, event.error().message});
      continue;
    }
    if (!is_agent_event(event->event_type)) {
      refusals.push_back(refusal(services, agent, audit::EventKind::kAuthzDenied, events[i],
                                 "an agent may not emit this type of event"));
      refusals.back().resource_name = event->event_type;
      emitted.refused.push_back(
          {i, fmt::format("an agent may not emit events of type {}", printable(event->event_type))});
      continue;
    }
    event->server_id = agent.name;
    event->server_hostname = agent.node_name;
    event->cluster_name = services.cluster_name();
    event->impersonator.clear();
    if (event->event_type == "session.recording.uploaded") continue;  // the hub says so itself, when it is true
    stored.push_back(std::move(*event));
  }
  if (!stored.empty()) {
    MEZ_TRY(emitted.stored, services.audit->append(stored));
  }
  if (!refusals.empty()) {
    MEZ_CHECK(services.audit->append(refusals));
    log::warn("an agent's audit events were refused", {{"node", agent.node_name},
                                                       {"events", static_cast<std::int64_t>(refusals.size())},
                                                       {"problem", emitted.refused.front().problem}});
  }
  return emitted;
}

Result<recording::PutReceipt> put_recording_chunk(Services& services, const Caller& agent,
                                                  const recording::PutRequest& request) {
  if (!recording::is_session_id(request.session_id)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a session id", printable(request.session_id.substr(0, 64)));
  }
  if (request.data.size() > kMaxChunkBytes) {
    return fail(ErrorCode::kInvalidArgument, "a chunk may have at most {} bytes", kMaxChunkBytes);
  }
  if (!request.header_json.empty()) {
    MEZ_TRY(recording::Header header, recording::parse_header(request.header_json));
    if (header.node_id != agent.name || header.cluster_name != services.cluster_name()) {
      audit::Event refused = event_by(services, agent, audit::EventKind::kAuthzDenied);
      refused.resource_type = "recording";
      refused.resource_name = std::string(request.session_id);
      refused.error_message = "the recording names another node or cluster";
      MEZ_CHECK(record(services, refused));
      return fail(ErrorCode::kPermissionDenied, "the recording's header names another node or cluster");
    }
  }
  recording::PutRequest told = request;
  std::string chain;
  if (request.last) {
    MEZ_TRY(chain, chain_of_start(services, agent.name, request.session_id));
    told.chain_id = chain;
  }
  Result<recording::PutReceipt> receipt = services.recordings.put(agent.name, told);
  if (!receipt) {
    if (receipt.error().code == ErrorCode::kPermissionDenied) {
      audit::Event refused = event_by(services, agent, audit::EventKind::kAuthzDenied);
      refused.resource_type = "recording";
      refused.resource_name = std::string(request.session_id);
      refused.error_message = receipt.error().message;
      MEZ_CHECK(record(services, refused));
    }
    return receipt;
  }
  if (receipt->verified) {
    MEZ_TRY(recording::StoredRecording stored, services.recordings.get(request.session_id));
    audit::Event event = event_by(services, agent, audit::EventKind::kSessionRecordingUploaded);
    event.id = id_of_upload(request.session_id);
    event.user_name = stored.header.user;
    event.session_id = std::string(request.session_id);
    // What the audit chain vouches for: a recording that is altered later has another hash.
    event.details = audit::Details()
                        .add("size_bytes", static_cast<std::int64_t>(receipt->size))
                        .add("sha256", stored.sha256)
                        .add("storage", name_of(services.config.recording.backend))
                        .text();
    MEZ_CHECK(record(services, event));
    if (!stored.problem.empty()) MEZ_CHECK(tell_of_altered(services, agent, stored));
    index_soon(services, request.session_id);
    if (services.recording_archive) services.recording_archive->kick();
  }
  return receipt;
}

}  // namespace mezite::auth
