// Recorded sessions: which there are, playing, converting and removing them.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"
#include "client/admin_json.hh"
#include "client/instant.hh"
#include "client/playback.hh"
#include "client/recording_table.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "cmd/mezctl/recording_source.hh"
#include "mezite/v1/admin.pb.h"
#include "recording/export.hh"

namespace mezite::mezctl {
namespace {

Result<v1::Recording> describe(Context& context, const std::string& id) {
  v1::NameRequest request;
  request.set_name(id);
  return context.ask<v1::Recording>("GetRecording", request);
}

void say_if_torn(const recording::Reader& reader) {
  if (!reader.complete()) say("note: the recording has no end: it was cut off, or the session still runs");
}

// Standard output, or a file that appears when it is whole.
class Target {
 public:
  static Result<Target> open(const std::string& path) {
    Target target;
    target.path_ = path;
    if (path.empty()) return target;
    target.temporary_ = path + ".XXXXXX";
    target.fd_.reset(::mkostemp(target.temporary_.data(), O_CLOEXEC));
    if (!target.fd_) return fail_errno(errno, fmt::format("making a file beside {}", path));
    return target;
  }
  Target(Target&&) = default;
  ~Target() {
    if (fd_) ::unlink(temporary_.c_str());
  }
  Status write(std::string_view text) {
    buffer_ += text;
    return buffer_.size() < 64 * 1024 ? Status{} : flush();
  }
  Status finish() {
    MEZ_CHECK(flush());
    if (!fd_) return {};
    if (::fsync(fd_.get()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
      return fail_errno(errno, fmt::format("writing {}", path_));
    }
    fd_.reset();
    return {};
  }
  Status flush() {
    const Status status = write_all(fd_ ? fd_.get() : STDOUT_FILENO, as_bytes(buffer_));
    buffer_.clear();
    return status ? Status{} : wrap(status.error(), fmt::format("writing {}", path_.empty() ? "the output" : path_));
  }

 private:
  Target() = default;
  std::string path_, temporary_, buffer_;
  UniqueFd fd_;
};

}  // namespace

Result<recording::Reader> open_recording(Context& context, const std::string& id, const std::string& identity_file) {
  client::RemoteRecording remote;
  remote.fetch = [&context, id](std::uint64_t offset, std::size_t max_bytes) -> Result<std::string> {
    v1::ReadRecordingRequest request;
    request.set_session_id(id);
    request.set_offset(static_cast<std::int64_t>(offset));
    request.set_max_bytes(static_cast<std::int32_t>(max_bytes));
    MEZ_TRY(auto part, context.ask<v1::ReadRecordingResponse>("ReadRecording", request));
    if (part.data().empty() && !part.eof()) {
      return fail(ErrorCode::kProtocol, "the hub gave an empty part of a recording that is not at its end");
    }
    return std::move(*part.mutable_data());
  };
  remote.size = [&context, id]() -> Result<std::uint64_t> {
    MEZ_TRY(const auto recording, describe(context, id));
    return static_cast<std::uint64_t>(recording.size_bytes());
  };
  MEZ_TRY(const auto about, describe(context, id));
  remote.chain_key = Secret(about.chain_key());
  if (about.complete()) remote.problem = about.problem();
  if (const std::string doubts = client::doubts_about(remote); !doubts.empty()) say(doubts);
  return client::open_recording(std::move(remote), identity_file);
}

Status recordings_list(Context& context, const RecordingFilter& filter) {
  v1::ListRecordingsRequest request;
  request.set_user(filter.user);
  request.set_node(filter.node);
  request.set_limit(filter.limit);
  MEZ_TRY(const std::int64_t since, client::parse_instant("--since", filter.since, context.now()));
  MEZ_TRY(const std::int64_t until, client::parse_instant("--until", filter.until, context.now()));
  request.set_since_ms(since);
  request.set_until_ms(until);
  MEZ_TRY(const auto response, context.ask<v1::ListRecordingsResponse>("ListRecordings", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["recordings"]);
  const std::string table = client::recordings_table(response, context.now(), context.colour());
  if (table.empty()) {
    const bool filtered = !filter.user.empty() || !filter.node.empty() || since != 0 || until != 0;
    say(filtered ? "no recordings like that" : "no recordings yet");
  }
  return context.print(table);
}

Status recordings_play(Context& context, const PlayFlags& flags) {
  client::prepare_playback();
  client::PlaybackOptions options{.speed = flags.speed};
  if (!flags.skip_idle.empty()) {
    const auto longest = parse_duration(flags.skip_idle);
    if (!longest) return fail(ErrorCode::kInvalidArgument, "--skip-idle: {}", longest.error().message);
    options.max_idle = *longest;
  }
  if (!flags.at.empty()) {
    MEZ_TRY(options.start, client::parse_offset(flags.at));
  }
  if (client::names_file(flags.id)) {
    say(client::kFileDoubts);
    MEZ_TRY(recording::Reader reader, client::open_recording_file(flags.id, flags.identity));
    return client::play_recording(reader, options, say);
  }
  MEZ_TRY(const auto about, describe(context, flags.id));
  if (about.ended_at_ms() > 0) options.length = std::chrono::milliseconds(about.ended_at_ms() - about.started_at_ms());
  MEZ_TRY(recording::Reader reader, open_recording(context, flags.id, flags.identity));
  return client::play_recording(reader, options, say);
}

Status recordings_export(Context& context, const RecordingExportFlags& flags) {
  const bool from_file = client::names_file(flags.id);
  if (from_file) say(client::kFileDoubts);
  Result<recording::Reader> reader = from_file ? client::open_recording_file(flags.id, flags.identity)
                                               : open_recording(context, flags.id, flags.identity);
  if (!reader) return std::unexpected(reader.error());
  MEZ_TRY(Target target, Target::open(flags.output));
  const recording::Sink sink = [&](std::string_view text) { return target.write(text); };
  const auto input = flags.input ? recording::InputEvents::kInclude : recording::InputEvents::kLeaveOut;
  const Status status = flags.format == "text" ? recording::export_text(*reader, sink)
                                               : recording::export_asciicast(*reader, input, sink);
  if (!status) {
    // To a pipe goes what verified; a file does not appear at all.
    if (flags.output.empty()) (void)target.flush();
    return status;
  }
  MEZ_CHECK(target.finish());
  say_if_torn(*reader);
  return {};
}

Status recordings_delete(Context& context, const RecordingDeleteFlags& flags) {
  v1::NameRequest request;
  request.set_name(flags.id);
  if (!flags.yes) {
    if (!client::is_terminal(STDIN_FILENO)) {
      return fail(ErrorCode::kInvalidArgument,
                  "a removed recording can't be brought back; say --yes where nobody can be asked");
    }
    MEZ_TRY(const auto about, describe(context, flags.id));
    MEZ_TRY(const std::string answer, client::ask_line(fmt::format("Remove the recording of {}, for good? [y/N] ",
                                                                   client::recording_text(about, context.now()))));
    if (answer != "y" && answer != "Y" && answer != "yes") {
      return fail(ErrorCode::kFailedPrecondition, "nothing was removed");
    }
  }
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteRecording", request, response));
  return context.print(fmt::format("recording {} removed\n", printable(flags.id)));
}

}  // namespace mezite::mezctl
