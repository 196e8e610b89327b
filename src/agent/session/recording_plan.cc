#include "agent/session/recording_plan.hh"

#include "base/log.hh"
#include "recording/live.hh"

namespace mezite::agent {

RecordingPlan plan_recording(access::RecordSession wish, const Snapshot& snapshot, OnRecordingFailure on_failure) {
  using enum access::RecordSession;
  RecordingPlan plan;
  plan.must_stream = wish == kStrict;
  plan.record = wish == kStrict || (wish != kOff && snapshot.recording_mode != RecordingMode::kOff);
  plan.must_record = wish == kStrict || (plan.record && on_failure == OnRecordingFailure::kRefuse);
  plan.live = plan.record && (wish == kStrict || wish == kNodeSync ||
                              (wish == kDefault && snapshot.recording_mode == RecordingMode::kNodeSync));
  plan.recipients = snapshot.recording_recipients;
  plan.hub = snapshot.recording_key;
  return plan;
}

Result<std::unique_ptr<recording::Session>> open_recording(const ServerOptions& options, const RecordingPlan& plan,
                                                           const recording::Header& header,
                                                           recording::Session::Callbacks callbacks,
                                                           std::function<void(const Error&)> stream_lost) {
  if (options.recorder == nullptr) return fail(ErrorCode::kUnavailable, "this agent has no spool");
  const std::string id = header.session_id;
  if (plan.live && options.live != nullptr) {
    callbacks.synced = [live = options.live, id](std::uint64_t bytes) { live->synced(id, bytes); };
    callbacks.finished = [live = options.live, id, finished = std::move(callbacks.finished)] {
      live->close(id);
      if (finished) finished();
    };
  }
  recording::Header for_hub = header;
  for_hub.chain_key.recipient = plan.hub;
  MEZ_TRY(auto session, options.recorder->open(for_hub, std::move(callbacks), plan.recipients));
  if (!plan.live) return session;
  const Status opened =
      options.live == nullptr
          ? Status(fail(ErrorCode::kUnavailable, "this agent has no streams"))
          : options.live->open(id, options.recorder->spool().live_path_of(id),
                               plan.must_stream ? std::move(stream_lost) : std::function<void(const Error&)>());
  if (opened) return session;
  if (plan.must_stream) {
    session->discard();
    return fail(opened.error().code, "the hub does not take its stream: {}", opened.error().message);
  }
  log::warn("opening recording stream (falling back to local-only)", {{"session", id}, {"error", opened.error()}});
  return session;
}

}  // namespace mezite::agent
