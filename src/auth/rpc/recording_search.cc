#include "auth/use/recording_search.hh"

#include "auth/rpc/handlers.hh"
#include "auth/use/recording_access.hh"

namespace mezite::auth::rpc {
namespace {

constexpr std::int32_t kMaxFound = 1000;

}  // namespace

Status search_recordings_rpc(Services& services, const Call& call, const v1::SearchRecordingsRequest& request,
                             v1::SearchRecordingsResponse& response) {
  if (request.limit() < 0 || request.limit() > kMaxFound) {
    return fail(ErrorCode::kInvalidArgument, "the limit is 1 to {}", kMaxFound);
  }
  recording::CommandFilter filter{.text = request.text(),
                                  .user = request.user(),
                                  .node = request.node(),
                                  .session_id = request.session_id(),
                                  .since = optional_time(request.since_ms()),
                                  .until = optional_time(request.until_ms())};
  if (request.limit() > 0) filter.limit = static_cast<std::size_t>(request.limit());
  if (request.before_ms() > 0) {
    filter.before = {.time_ms = request.before_ms(), .number = request.before_number()};
  }
  MEZ_TRY(const FoundCommands found, search_recordings(services, call.caller, std::move(filter)));
  for (const recording::IndexedCommand& command : found.commands) {
    v1::RecordedCommand* out = response.add_commands();
    out->set_number(command.number);
    out->set_session_id(command.session_id);
    out->set_user(command.user);
    out->set_login(command.login);
    out->set_node(command.node);
    out->set_kind(command.kind);
    out->set_time_ms(to_unix_millis(command.time));
    out->set_offset_ms(command.offset.count());
    out->set_command(command.command);
  }
  response.set_encrypted(found.encrypted);
  response.set_unreadable(found.unreadable);
  response.set_not_indexed(found.not_indexed);
  return {};
}

Status index_recordings_rpc(Services& services, const Call& call, const v1::IndexRecordingsRequest& request,
                            v1::IndexRecordingsResponse& response) {
  MEZ_TRY(const IndexRun run, index_recordings(services, call.caller, request.session_id()));
  response.set_indexed(run.indexed);
  response.set_commands(run.commands);
  response.set_encrypted(run.encrypted);
  response.set_unreadable(run.unreadable);
  response.set_remaining(run.remaining);
  return {};
}

}  // namespace mezite::auth::rpc
