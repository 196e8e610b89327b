#include "auth/use/recording_access.hh"

#include <algorithm>

#include "auth/record.hh"
#include "base/text.hh"
#include "recording/search/command_index.hh"

namespace mezite::auth {
namespace {

std::unexpected<Error> no_recording(std::string_view session_id) {
  return fail(ErrorCode::kNotFound, "no recording '{}'; `mezctl recordings ls` shows those that there are",
              printable(session_id.substr(0, 64)));
}

audit::Event event_about(const Services& services, const Caller& caller, audit::EventKind kind,
                         const recording::Header& header) {
  audit::Event event = event_by(services, caller, kind);
  event.resource_type = "recording";
  event.resource_name = header.session_id;
  event.session_id = header.session_id;
  event.details = audit::Details().add("user", header.user).add("node", header.node).text();
  return event;
}

}  // namespace

Result<std::vector<recording::StoredRecording>> list_recordings(Services& services, const Caller& caller,
                                                                const RecordingFilter& filter) {
  std::string_view user = filter.user;
  if (!allowed(caller, "recordings", "list")) {
    if (caller.kind != Caller::Kind::kUser) return fail(ErrorCode::kPermissionDenied, "only users have recordings");
    if (!user.empty() && user != caller.name) MEZ_CHECK(require(services, caller, "recordings", "list"));
    user = caller.name;
  }
  const std::size_t limit = std::clamp<std::size_t>(filter.limit, 1, kMaxListedRecordings);
  const bool by_time = filter.since || filter.until;
  auto recordings = services.recordings.list(user, filter.node, by_time ? 0 : limit);
  std::erase_if(recordings, [&filter](const recording::StoredRecording& one) {
    return (filter.since && one.header.started_at < *filter.since) ||
           (filter.until && one.header.started_at >= *filter.until);
  });
  if (recordings.size() > limit) recordings.resize(limit);
  return recordings;
}

Result<recording::StoredRecording> get_recording(Services& services, const Caller& caller,
                                                 std::string_view session_id) {
  Result<recording::StoredRecording> stored = services.recordings.get(session_id);
  if (!stored && stored.error().code != ErrorCode::kNotFound) return stored;
  const bool own = stored && caller.kind == Caller::Kind::kUser && stored->header.user == caller.name;
  if (!own && !allowed(caller, "recordings", "read")) {
    [[maybe_unused]] Status refused = require(services, caller, "recordings", "read");
    return no_recording(session_id);
  }
  if (!stored) return no_recording(session_id);
  return stored;
}

Result<recording::ReadChunk> read_recording(Services& services, const Caller& caller, std::string_view session_id,
                                            std::uint64_t offset, std::size_t max_bytes) {
  MEZ_TRY(const recording::StoredRecording stored, get_recording(services, caller, session_id));
  if (offset == 0) {
    MEZ_CHECK(
        record(services, event_about(services, caller, audit::EventKind::kSessionRecordingAccessed, stored.header)));
  }
  return services.recordings.read(session_id, offset, std::clamp<std::size_t>(max_bytes, 1, kMaxPartBytes));
}

Secret chain_key_of(const Services& services, const recording::Header& header) {
  auto key = open_chain_key(header.chain_key, services.recording_key, header.session_id);
  return key ? std::move(*key) : Secret();
}

Status delete_recording(Services& services, const Caller& caller, std::string_view session_id) {
  MEZ_CHECK(require(services, caller, "recordings", "delete"));
  Result<recording::StoredRecording> stored = services.recordings.get(session_id);
  if (!stored && stored.error().code == ErrorCode::kNotFound) return no_recording(session_id);
  if (!stored) return std::unexpected(stored.error());
  MEZ_CHECK(services.recordings.remove(session_id));
  MEZ_CHECK(recording::CommandIndex(*services.database, services.clock).remove(session_id));
  return record(services, event_about(services, caller, audit::EventKind::kSessionRecordingDeleted, stored->header));
}

}  // namespace mezite::auth
