// Recordings of sessions: the user's own, and others' with the right to them.
#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/document.hh"
#include "client/instant.hh"
#include "client/playback.hh"
#include "client/recording_table.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/session.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::msh {
namespace {

template <class Message>
Result<Message> parse(const std::string& json, const char* doing) {
  Message message;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(json, &message, options).ok()) {
    return fail(ErrorCode::kProtocol, "the hub's answer to {} is malformed; is it as new as this msh?", doing);
  }
  return message;
}

}  // namespace

Result<int> list_recordings(const RecordingListOptions& options) {
  const SystemTime now = system_clock().now();
  client::RecordingQuery query{.user = options.user, .node = options.node, .limit = options.limit};
  MEZ_TRY(query.since_ms, client::parse_instant("--since", options.since, now));
  MEZ_TRY(query.until_ms, client::parse_instant("--until", options.until, now));
  MEZ_TRY(auto session, open_session(options.proxy));
  MEZ_TRY(const std::string body, session.api.recordings(query));
  MEZ_TRY(const auto list, parse<v1::ListRecordingsResponse>(body, "the list of recordings"));
  if (options.format == Format::kText) {
    const std::string table = client::recordings_table(list, now, client::colour_of(1));
    if (table.empty()) note("no recordings like that that you may see");
    print(table);
    return 0;
  }
  const nlohmann::ordered_json json = client::message_to_json(list)["recordings"];
  if (options.format == Format::kYaml) {
    print(client::json_to_yaml(json));
  } else {
    print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  }
  return 0;
}

Result<int> play(const PlayOptions& options) {
  client::prepare_playback();
  client::PlaybackOptions how{.speed = options.speed};
  if (!options.skip_idle.empty()) {
    const auto longest = parse_duration(options.skip_idle);
    if (!longest) return wrap(longest.error(), "--skip-idle");
    how.max_idle = *longest;
  }
  if (!options.at.empty()) {
    MEZ_TRY(how.start, client::parse_offset(options.at));
  }
  if (client::names_file(options.session)) {
    note(client::kFileDoubts);
    MEZ_TRY(auto reader, client::open_recording_file(options.session, options.identity));
    MEZ_CHECK(client::play_recording(reader, how, note));
    return 0;
  }
  MEZ_TRY(auto session, open_session(options.proxy));
  MEZ_TRY(const std::string body, session.api.recording(options.session));
  MEZ_TRY(const auto about, parse<v1::Recording>(body, "the question for a recording"));
  if (about.ended_at_ms() > 0) how.length = std::chrono::milliseconds(about.ended_at_ms() - about.started_at_ms());
  client::RemoteRecording remote;
  remote.fetch = [&session, &options](std::uint64_t offset, std::size_t max_bytes) {
    return session.api.recording_part(options.session, offset, max_bytes);
  };
  remote.size = [&session, &options]() -> Result<std::uint64_t> {
    MEZ_TRY(const std::string again, session.api.recording(options.session));
    MEZ_TRY(const auto now, parse<v1::Recording>(again, "the question for a recording"));
    return static_cast<std::uint64_t>(now.size_bytes());
  };
  remote.chain_key = Secret(about.chain_key());
  if (about.complete()) remote.problem = about.problem();
  if (const std::string doubts = client::doubts_about(remote); !doubts.empty()) note(doubts);
  MEZ_TRY(auto reader, client::open_recording(std::move(remote), options.identity));
  MEZ_CHECK(client::play_recording(reader, how, note));
  return 0;
}

}  // namespace mezite::msh
