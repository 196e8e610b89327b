#include "auth/rpc/handlers.hh"
#include "auth/use/session_data.hh"

namespace mezite::auth::rpc {
namespace {

constexpr std::size_t kMaxListed = 1000;

}  // namespace

Status list_recordings_rpc(Services& services, const Call& call, const v1::ListRecordingsRequest& request,
                           v1::ListRecordingsResponse& response) {
  if (request.limit() < 0) return fail(ErrorCode::kInvalidArgument, "the limit is 1 to {}", kMaxListed);
  std::size_t limit = request.limit() == 0 ? kMaxListed : static_cast<std::size_t>(request.limit());
  MEZ_TRY(std::vector<recording::StoredRecording> recordings,
          list_recordings(services, call.caller, request.user(), request.node(), std::min(limit, kMaxListed)));
  for (const recording::StoredRecording& recording : recordings) {
    v1::Recording* out = response.add_recordings();
    out->set_session_id(recording.header.session_id);
    out->set_user(recording.header.user);
    out->set_login(recording.header.login);
    out->set_node(recording.header.node);
    out->set_kind(std::string(recording::to_text(recording.header.kind)));
    out->set_command(recording.header.command);
    out->set_started_at_ms(to_unix_millis(recording.header.started_at));
    out->set_ended_at_ms(recording.ended_at ? to_unix_millis(*recording.ended_at) : 0);
    out->set_size_bytes(static_cast<std::int64_t>(recording.size_bytes));
    out->set_complete(recording.complete);
  }
  return {};
}

Status read_recording_rpc(Services& services, const Call& call, const v1::ReadRecordingRequest& request,
                          v1::ReadRecordingResponse& response) {
  if (request.offset() < 0 || request.max_bytes() < 0) {
    return fail(ErrorCode::kInvalidArgument, "offset and max_bytes may not be negative");
  }
  std::size_t most = request.max_bytes() == 0 ? kMaxChunkBytes : static_cast<std::size_t>(request.max_bytes());
  MEZ_TRY(recording::ReadChunk chunk, read_recording(services, call.caller, request.session_id(),
                                                     static_cast<std::uint64_t>(request.offset()), most));
  response.set_data(chunk.data.data(), chunk.data.size());
  response.set_eof(chunk.eof);
  return {};
}

Status delete_recording_rpc(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  return delete_recording(services, call.caller, request.name());
}

}  // namespace mezite::auth::rpc
