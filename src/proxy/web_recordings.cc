#include "proxy/web_recordings.hh"

#include <charconv>
#include <nlohmann/json.hpp>

#include "auth/use/recording_access.hh"
#include "proxy/web_request.hh"

namespace mezite::proxy {
namespace {

using Json = nlohmann::json;
using net::http::Request;
using net::http::Responder;
using net::http::Response;

// A number of the query; 0 when it is not there.
Result<std::int64_t> number_of(const Request& request, const char* name) {
  const std::string_view text = request.query_value(name);
  if (text.empty()) return 0;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is a number from 0 on", name);
  }
  return value;
}

Json to_json(const recording::StoredRecording& recording) {
  return {{"session_id", recording.header.session_id},
          {"user", recording.header.user},
          {"login", recording.header.login},
          {"node", recording.header.node},
          {"node_id", recording.header.node_id},
          {"client_address", recording.header.client_address},
          {"kind", recording::to_text(recording.header.kind)},
          {"command", recording.header.command},
          {"started_at_ms", to_unix_millis(recording.header.started_at)},
          {"ended_at_ms", recording.ended_at ? to_unix_millis(*recording.ended_at) : 0},
          {"size_bytes", recording.size_bytes},
          {"complete", recording.complete},
          {"problem", recording.problem}};
}

Response ok(const Json& body) { return Response::json(200, body.dump(-1, ' ', false, Json::error_handler_t::replace)); }

Result<Response> list(Context& context, const Request& request) {
  MEZ_TRY(const auth::Caller caller, caller_of(context, request));
  MEZ_TRY(const std::int64_t since, number_of(request, "since_ms"));
  MEZ_TRY(const std::int64_t until, number_of(request, "until_ms"));
  MEZ_TRY(const std::int64_t limit, number_of(request, "limit"));
  auth::RecordingFilter filter{.user = std::string(request.query_value("user")),
                               .node = std::string(request.query_value("node")),
                               .since = auth::optional_time(since),
                               .until = auth::optional_time(until)};
  if (limit > 0) filter.limit = static_cast<std::size_t>(limit);
  MEZ_TRY(const auto recordings, auth::list_recordings(context.services, caller, filter));
  Json answer = Json::array();
  for (const auto& recording : recordings) answer.push_back(to_json(recording));
  return ok({{"recordings", std::move(answer)}});
}

Result<Response> show(Context& context, const Request& request) {
  MEZ_TRY(const auth::Caller caller, caller_of(context, request));
  MEZ_TRY(const auto recording, auth::get_recording(context.services, caller, request.path_value("id")));
  Json answer = to_json(recording);
  answer["chain_key"] = to_base64(auth::chain_key_of(context.services, recording.header).view());
  return ok(answer);
}

Result<Response> data(Context& context, const Request& request) {
  MEZ_TRY(const auth::Caller caller, caller_of(context, request));
  MEZ_TRY(const std::int64_t offset, number_of(request, "offset"));
  MEZ_TRY(const std::int64_t max_bytes, number_of(request, "max_bytes"));
  const std::size_t most = max_bytes == 0 ? auth::kMaxPartBytes : static_cast<std::size_t>(max_bytes);
  MEZ_TRY(const auto chunk, auth::read_recording(context.services, caller, request.path_value("id"),
                                                 static_cast<std::uint64_t>(offset), most));
  Response response{200, {}, std::string(as_text(chunk.data))};
  response.headers.set("Content-Type", "application/octet-stream");
  return response;
}

}  // namespace

void add_recording_routes(net::http::Router& router, Context& context) {
  using Work = Result<Response> (*)(Context&, const Request&);
  const auto add = [&](const char* path, Work work) {
    router.add("GET", path, [&context, work](Request request, Responder responder) {
      answer_on_worker(context, std::move(request), std::move(responder),
                       [&context, work](const Request& it) { return work(context, it); });
    });
  };
  add("/v1/webapi/recordings", list);
  add("/v1/webapi/recordings/{id}", show);
  add("/v1/webapi/recordings/{id}/data", data);
}

}  // namespace mezite::proxy
