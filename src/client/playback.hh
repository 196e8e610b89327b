// Playing a recording to standard output: what msh and mezctl share around recording/player.hh.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "recording/reader.hh"

namespace mezite::client {

// A recording at the hub, whoever the hub is asked through.
struct RemoteRecording {
  // Bytes from the offset on, at most so many; empty: there are no more.
  std::function<Result<std::string>(std::uint64_t offset, std::size_t max_bytes)> fetch;
  std::function<Result<std::uint64_t>()> size;
  Secret chain_key;     // verifies that it is what the node wrote; empty: the hub has not got it
  std::string problem;  // what the hub found when it came; empty: nothing
};
// What is known of how far a recording can be believed, for the person; empty: it is verified, tags and all.
std::string doubts_about(const RemoteRecording& remote);
inline constexpr std::string_view kFileDoubts =
    "a file by itself is checked against damage, not against forgery: for that play it through the hub, or compare its "
    "SHA-256 with that of session.recording.uploaded in the audit log";

// Fetches what is read, a part at a time: the first one small, so that playing begins at once. identity_file: of who it
// is encrypted to; empty: none.
Result<recording::Reader> open_recording(RemoteRecording remote, const std::string& identity_file);
Result<recording::Reader> open_recording_file(const std::string& path, const std::string& identity_file);
// Whether the argument of `play` is a file's path rather than a session id.
bool names_file(const std::string& argument);

struct PlaybackOptions {
  double speed = 1;
  std::optional<std::chrono::milliseconds> max_idle;
  std::chrono::milliseconds start{0};
  std::optional<std::chrono::milliseconds> length;
};

// "90s", "1m30s", "0:01:30" or "1:30".
Result<std::chrono::milliseconds> parse_offset(const std::string& text);
// "0:01:30".
std::string offset_text(std::chrono::milliseconds offset);

// Holds back the signals that end a program, so that play_recording() can put the terminal right before they do. Before
// any thread is started, as threads inherit it. Does nothing without a terminal.
void prepare_playback();

// Interactive when standard input and output are terminals. Returns at the end, at q, or when nobody reads any more; a
// signal ends the process as it would have, with the terminal as it was. `note` gets lines for the person.
Status play_recording(recording::Reader& reader, const PlaybackOptions& options,
                      const std::function<void(std::string_view)>& note);

}  // namespace mezite::client
