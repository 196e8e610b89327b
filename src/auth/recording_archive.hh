// Recordings in S3, as the configuration has it: recording.backend and recording.s3.*.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "audit/event.hh"
#include "auth/config.hh"
#include "base/clock.hh"
#include "recording/archive.hh"
#include "recording/s3_store.hh"

namespace mezite::auth {

// Thread-safe.
class RecordingArchive {
 public:
  using Tell = std::function<Status(const audit::Event&)>;

  // Null when no bucket is configured. With backend s3 complete recordings are moved there; with backend local those
  // that are there already can still be read. Storage and clock outlive it. tell: for session.recording.failed.
  static Result<std::unique_ptr<RecordingArchive>> open(const Config& config, recording::LocalStorage& storage,
                                                        Tell tell, const Clock& clock);
  ~RecordingArchive();

  void kick();  // a recording has become complete
  recording::ObjectStore& store() { return *store_; }
  // In Prometheus' text form.
  std::string metrics() const;

 private:
  RecordingArchive(recording::LocalStorage& storage, std::unique_ptr<recording::S3Store> store, Tell tell,
                   const Clock& clock);
  void failed(const recording::StoredRecording& recording, const Error& error);

  recording::LocalStorage& storage_;
  const std::unique_ptr<recording::S3Store> store_;
  const Tell tell_;
  const Clock& clock_;
  std::map<std::string, SteadyTime, std::less<>> told_;  // the archive's thread's own
  std::unique_ptr<recording::Archive> archive_;          // null: backend local
};

}  // namespace mezite::auth
