// Whether and how a session is recorded, and the opening of its recording.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "access/role.hh"
#include "agent/session/server.hh"
#include "agent/session/snapshot.hh"
#include "recording/recorder.hh"

namespace mezite::agent {

struct RecordingPlan {
  bool record = false;
  bool must_record = false;  // no session without a recording at this node
  bool live = false;         // streamed to the hub while it is made
  bool must_stream = false;  // no session without that stream either
  std::vector<recording::Recipient> recipients;
  recording::Recipient hub;  // the key of its chain is sealed to this
};

// What the roles wish for (record_session), what the cluster does by default (recording.mode), what the agent's own
// configuration says about failures.
RecordingPlan plan_recording(access::RecordSession wish, const Snapshot& snapshot, OnRecordingFailure on_failure);

// Blocks: the file is made and, for a live one, the stream opened. A stream that can't be had is logged and done
// without, unless the plan demands it. stream_lost: any thread, once, only when the plan demands a stream.
Result<std::unique_ptr<recording::Session>> open_recording(const ServerOptions& options, const RecordingPlan& plan,
                                                           const recording::Header& header,
                                                           recording::Session::Callbacks callbacks,
                                                           std::function<void(const Error&)> stream_lost);

}  // namespace mezite::agent
