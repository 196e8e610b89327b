// Streams recordings to the hub while they are made, from the files of the spool. The file stays the truth: what a
// stream did not bring, the uploader does when the session has ended.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.hh"
#include "recording/uploader.hh"

namespace mezite::recording {

// Thread-safe. One thread sends for all sessions.
class LiveStreams {
 public:
  // A stream that is behind for so long counts as lost.
  static constexpr std::chrono::seconds kLostAfter{15};

  // Target and clock outlive it.
  LiveStreams(UploadTarget& target, const Clock& clock);
  ~LiveStreams();  // stop()
  LiveStreams(const LiveStreams&) = delete;
  LiveStreams& operator=(const LiveStreams&) = delete;

  // Begins the recording at the target with what the file holds now, its header. Blocks for as long as the target does.
  // `lost` (may be empty) is called once, on the sending thread, when the target refuses the stream for good or has not
  // taken anything for kLostAfter.
  Status open(const std::string& session_id, const std::filesystem::path& file,
              std::function<void(const Error&)> lost = {});
  // So many bytes of the file are durable and may be sent. No call for a session that has no stream does anything.
  void synced(std::string_view session_id, std::uint64_t bytes);
  // The session has ended; the uploader goes on from where the stream is.
  void close(std::string_view session_id);
  // Ends the thread after the call that it is in.
  void stop();

 private:
  struct Stream;
  void run();
  void send(Stream& stream);
  void note_failure(Stream& stream, const Error& error);

  UploadTarget& target_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::shared_ptr<Stream>, std::less<>> streams_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mezite::recording
