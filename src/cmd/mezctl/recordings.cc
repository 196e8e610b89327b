#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"
#include "client/admin_json.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"
#include "recording/export.hh"
#include "recording/player.hh"

namespace mezite::mezctl {
namespace {

constexpr std::int32_t kReadBytes = 1 << 20;

// The recording's bytes as they come from the hub, a chunk at a time.
class RemoteRecording {
 public:
  RemoteRecording(Context& context, std::string id) : context_(context), id_(std::move(id)) {}

  Result<std::size_t> read(std::span<std::uint8_t> buffer) {
    if (at_ == chunk_.data().size()) {
      if (chunk_.eof()) return 0;
      v1::ReadRecordingRequest request;
      request.set_session_id(id_);
      request.set_offset(offset_);
      request.set_max_bytes(kReadBytes);
      MEZ_TRY(chunk_, context_.ask<v1::ReadRecordingResponse>("ReadRecording", request));
      if (chunk_.data().empty() && !chunk_.eof()) {
        return fail(ErrorCode::kProtocol, "the hub gave an empty part of a recording that is not at its end");
      }
      offset_ += static_cast<std::int64_t>(chunk_.data().size());
      at_ = 0;
    }
    const BytesView rest = as_bytes(chunk_.data()).subspan(at_);
    const std::size_t size = std::min(rest.size(), buffer.size());
    std::copy_n(rest.begin(), size, buffer.begin());
    at_ += size;
    return size;
  }

 private:
  Context& context_;
  std::string id_;
  v1::ReadRecordingResponse chunk_;
  std::int64_t offset_ = 0;
  std::size_t at_ = 0;
};

Result<recording::Reader> open_recording(Context& context, const std::string& id) {
  auto remote = std::make_shared<RemoteRecording>(context, id);
  return recording::Reader::open([remote](std::span<std::uint8_t> buffer) { return remote->read(buffer); });
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

Status recordings_list(Context& context, const RecordingFilter& filter) {
  v1::ListRecordingsRequest request;
  request.set_user(filter.user);
  request.set_node(filter.node);
  request.set_limit(filter.limit);
  MEZ_TRY(const auto response, context.ask<v1::ListRecordingsResponse>("ListRecordings", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["recordings"]);
  client::Table table({"SESSION ID", "STARTED", "LENGTH", "USER", "LOGIN", "NODE", "KIND", "SIZE", "STATE", "COMMAND"});
  for (const v1::Recording& recording : response.recordings()) {
    const std::int64_t length = recording.ended_at_ms() - recording.started_at_ms();
    std::string command = recording.command();
    if (command.size() > 60) command = command.substr(0, 57) + "...";
    table.add({recording.session_id(), client::shown_time(recording.started_at_ms(), context.now()),
               recording.ended_at_ms() == 0 || length < 0
                   ? ""
                   : format_duration(std::chrono::milliseconds(length < 1000 ? length : length / 1000 * 1000)),
               recording.user(), recording.login(), recording.node(), recording.kind(),
               client::shown_bytes(recording.size_bytes()),
               !recording.complete()          ? "partial"
               : recording.ended_at_ms() == 0 ? "cut off"
                                              : "complete",
               command});
  }
  return context.print(table.text(context.colour()));
}

Status recordings_play(Context& context, const PlayFlags& flags) {
  recording::PlayOptions options{.speed = flags.speed};
  if (!flags.skip_idle.empty()) {
    const auto longest = parse_duration(flags.skip_idle);
    if (!longest) return fail(ErrorCode::kInvalidArgument, "--skip-idle: {}", longest.error().message);
    options.max_idle = *longest;
  }
  MEZ_TRY(recording::Reader reader, open_recording(context, flags.id));
  std::optional<client::RawTerminal> raw;
  const bool interactive = client::is_terminal(STDIN_FILENO) && client::is_terminal(STDOUT_FILENO);
  if (interactive) {
    const recording::Header& header = reader.header();
    say(fmt::format("{} as {} on {}{}; space pauses, + and - change the speed, q ends", printable(header.user),
                    printable(header.login), printable(header.node),
                    header.command.empty() ? "" : ": " + printable(header.command)));
    if (auto entered = client::RawTerminal::enter(STDIN_FILENO)) {
      raw.emplace(std::move(*entered));
      options.keys_fd = STDIN_FILENO;
    }
  }
  const Status status = recording::play(reader, STDOUT_FILENO, options);
  if (interactive) {
    // What the session left switched on in the terminal: alternate screen, hidden cursor, colours, mouse, paste.
    (void)context.print("\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?2004l\r\n");
  }
  raw.reset();
  MEZ_CHECK(status);
  say_if_torn(reader);
  return {};
}

Status recordings_export(Context& context, const RecordingExportFlags& flags) {
  MEZ_TRY(recording::Reader reader, open_recording(context, flags.id));
  MEZ_TRY(Target target, Target::open(flags.output));
  const recording::Sink sink = [&](std::string_view text) { return target.write(text); };
  const auto input = flags.input ? recording::InputEvents::kInclude : recording::InputEvents::kLeaveOut;
  const Status status =
      flags.format == "text" ? recording::export_text(reader, sink) : recording::export_asciicast(reader, input, sink);
  if (!status) {
    // To a pipe goes what verified; a file does not appear at all.
    if (flags.output.empty()) (void)target.flush();
    return status;
  }
  MEZ_CHECK(target.finish());
  say_if_torn(reader);
  return {};
}

Status recordings_delete(Context& context, const std::string& id) {
  v1::NameRequest request;
  request.set_name(id);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteRecording", request, response));
  return context.print(fmt::format("recording {} removed\n", printable(id)));
}

}  // namespace mezite::mezctl
