#include "client/recording_table.hh"

#include "base/text.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::client {
namespace {

constexpr std::size_t kShownCommandBytes = 60;

std::string length_of(const v1::Recording& recording) {
  const std::int64_t length = recording.ended_at_ms() - recording.started_at_ms();
  if (recording.ended_at_ms() == 0 || length < 0) return "";
  return format_duration(std::chrono::milliseconds(length < 1000 ? length : length / 1000 * 1000));
}

std::string shortened(const std::string& command) {
  if (command.size() <= kShownCommandBytes) return command;
  std::size_t end = kShownCommandBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(command[end]) & 0xc0) == 0x80) --end;
  return command.substr(0, end) + "...";
}

}  // namespace

std::string recordings_table(const v1::ListRecordingsResponse& list, SystemTime now, Colour colour) {
  if (list.recordings().empty()) return "";
  Table table({"SESSION ID", "STARTED", "LENGTH", "USER", "LOGIN", "NODE", "KIND", "SIZE", "STATE", "COMMAND"});
  for (const v1::Recording& recording : list.recordings()) {
    std::string state = "complete";
    if (!recording.complete()) {
      state = "partial";
    } else if (!recording.problem().empty()) {
      state = "ALTERED";
    } else if (recording.ended_at_ms() == 0) {
      state = "cut off";
    }
    table.add({recording.session_id(), shown_time(recording.started_at_ms(), now), length_of(recording),
               recording.user(), recording.login(), recording.node(), recording.kind(),
               shown_bytes(recording.size_bytes()), state, shortened(recording.command())});
  }
  return table.text(colour);
}

std::string recording_text(const v1::Recording& recording, SystemTime now) {
  std::string text = recording.user() + " as " + recording.login() + " on " + recording.node() + ", " +
                     shown_time(recording.started_at_ms(), now) + ", " + shown_bytes(recording.size_bytes());
  if (!recording.command().empty()) text += ": " + shortened(recording.command());
  return printable(text);
}

}  // namespace mezite::client
