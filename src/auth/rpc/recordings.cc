#include "auth/rpc/handlers.hh"
#include "auth/use/recording_access.hh"
#include "auth/use/recording_reindex.hh"
#include "recording/search/command_index.hh"

namespace mezite::auth::rpc {
namespace {

void put(const recording::StoredRecording& recording, v1::Recording& out) {
  out.set_session_id(recording.header.session_id);
  out.set_user(recording.header.user);
  out.set_login(recording.header.login);
  out.set_node(recording.header.node);
  out.set_node_id(recording.header.node_id);
  out.set_client_address(recording.header.client_address);
  out.set_kind(std::string(recording::to_text(recording.header.kind)));
  out.set_command(recording.header.command);
  out.set_started_at_ms(to_unix_millis(recording.header.started_at));
  out.set_ended_at_ms(recording.ended_at ? to_unix_millis(*recording.ended_at) : 0);
  out.set_size_bytes(static_cast<std::int64_t>(recording.size_bytes));
  out.set_complete(recording.complete);
  out.set_sha256(recording.sha256);
  out.set_storage(recording.archived ? "s3" : "local");
  out.set_problem(recording.problem);
  for (const recording::SealedKey& key : recording.header.keys) out.add_recipients(to_text(key.recipient));
}

}  // namespace

Status list_recordings_rpc(Services& services, const Call& call, const v1::ListRecordingsRequest& request,
                           v1::ListRecordingsResponse& response) {
  if (request.limit() < 0 || request.limit() > static_cast<std::int32_t>(kMaxListedRecordings)) {
    return fail(ErrorCode::kInvalidArgument, "the limit is 1 to {}", kMaxListedRecordings);
  }
  RecordingFilter filter{.user = request.user(),
                         .node = request.node(),
                         .since = optional_time(request.since_ms()),
                         .until = optional_time(request.until_ms())};
  if (request.limit() > 0) filter.limit = static_cast<std::size_t>(request.limit());
  MEZ_TRY(const auto recordings, list_recordings(services, call.caller, filter));
  for (const recording::StoredRecording& recording : recordings) put(recording, *response.add_recordings());
  return {};
}

Status get_recording_rpc(Services& services, const Call& call, const v1::NameRequest& request,
                         v1::Recording& response) {
  MEZ_TRY(const auto recording, get_recording(services, call.caller, request.name()));
  put(recording, response);
  const Secret chain_key = chain_key_of(services, recording.header);
  response.set_chain_key(chain_key.view().data(), chain_key.size());
  const recording::CommandIndex index(*services.database, services.clock);
  MEZ_TRY(const auto indexed, index.state_of(recording.header.session_id));
  if (indexed) {
    response.set_index_state(std::string(recording::to_text(indexed->state)));
    response.set_indexed_commands(indexed->commands);
  }
  return {};
}

Status read_recording_rpc(Services& services, const Call& call, const v1::ReadRecordingRequest& request,
                          v1::ReadRecordingResponse& response) {
  if (request.offset() < 0 || request.max_bytes() < 0) {
    return fail(ErrorCode::kInvalidArgument, "offset and max_bytes may not be negative");
  }
  const std::size_t most = request.max_bytes() == 0 ? kMaxPartBytes : static_cast<std::size_t>(request.max_bytes());
  MEZ_TRY(recording::ReadChunk chunk, read_recording(services, call.caller, request.session_id(),
                                                     static_cast<std::uint64_t>(request.offset()), most));
  response.set_data(chunk.data.data(), chunk.data.size());
  response.set_eof(chunk.eof);
  return {};
}

Status reindex_recordings_rpc(Services& services, const Call& call, const v1::ReindexRecordingsRequest& request,
                              v1::ReindexRecordingsResponse& response) {
  MEZ_TRY(const ReindexRun run, reindex_recordings(services, call.caller, request.after()));
  for (const ReindexedRecording& one : run.recordings) {
    v1::ReindexedRecording* out = response.add_recordings();
    out->set_session_id(one.session_id);
    out->set_storage(std::string(one.storage));
    out->set_taken(one.taken);
    out->set_reason(one.reason);
    out->set_vouched(one.vouched);
    if (!one.recording) continue;
    out->set_user(one.recording->header.user);
    out->set_node(one.recording->header.node);
    out->set_started_at_ms(to_unix_millis(one.recording->header.started_at));
    out->set_size_bytes(static_cast<std::int64_t>(one.recording->size_bytes));
    out->set_complete(one.recording->complete);
  }
  response.set_known(run.known);
  response.set_others(run.others);
  response.set_next(run.next);
  return {};
}

Status delete_recording_rpc(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  return delete_recording(services, call.caller, request.name());
}

}  // namespace mezite::auth::rpc
