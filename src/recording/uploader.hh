// Brings the spool's recordings to the hub: resumable, idempotent, for ever. The caller gives it time and a target.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/back_off.hh"
#include "base/bytes.hh"
#include "base/clock.hh"
#include "recording/spool.hh"

namespace mezite::recording {

struct PutRequest {
  std::string_view session_id;
  std::uint64_t offset = 0;
  BytesView data;
  bool last = false;
  BytesView sha256;              // of the whole recording; with last
  std::string_view header_json;  // with offset 0
  // With last, set by the hub: the chain_id() that its session began with; empty: that is not known.
  std::string_view chain_id;
};
struct PutReceipt {
  std::uint64_t size = 0;  // bytes held durably, whatever was asked
  bool verified = false;   // all is there and its hash agrees
};

// Where recordings go: the hub over gRPC, a storage, or a test. put() may block.
class UploadTarget {
 public:
  virtual ~UploadTarget() = default;
  // An offset below the size held is a repetition: compared, acknowledged. An empty chunk asks for the size held.
  // kFailedPrecondition: the offset is above the size held. kCorrupt: the bytes differ from those held, or the hash
  // does not agree. kInvalidArgument: this can never be stored. Anything else is worth trying again.
  virtual Result<PutReceipt> put(const PutRequest& request) = 0;
};

// Not thread-safe: drive it from one worker.
class Uploader {
 public:
  struct Callbacks {
    std::function<void(std::string_view session_id, std::uint64_t size_bytes)> uploaded;
    // A try failed; it will be tried again unless set_aside.
    std::function<void(std::string_view session_id, const Error& error, bool set_aside)> failed;
  };

  // Spool, target and clock outlive the uploader. `seed` spreads the jitter of many agents.
  Uploader(Spool& spool, UploadTarget& target, const Clock& clock, Callbacks callbacks, std::uint64_t seed);

  // Uploads every recording whose time has come. Returns when to call again (sooner when a session has finished).
  SteadyTime run_once();

  // The target is reachable again: the back-off begins anew. What was counted against a recording stays, or one that
  // can never be stored would not go aside on a node where this is called often.
  void retry_now();

 private:
  struct Wait {
    int failures = 0;
    int mismatches = 0;
    SteadyTime until;
  };
  Status upload(std::string_view session_id);
  void note_failure(const std::string& session_id, const Error& error);
  SteadyTime back_off(int failures);

  Spool& spool_;
  UploadTarget& target_;
  const Clock& clock_;
  Callbacks callbacks_;
  Jitter random_;
  std::map<std::string, Wait, std::less<>> waits_;
};

}  // namespace mezite::recording
