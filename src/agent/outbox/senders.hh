// The two threads that bring things to the hub: audit events and recordings. Both try for ever, with back-off.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/hub/refused_event.hh"
#include "agent/outbox/event_log.hh"
#include "agent/settings/config.hh"
#include "base/clock.hh"
#include "recording/uploader.hh"

namespace mezite::agent {

class EventSender {
 public:
  // send: blocks; gives the events that the hub will never take, or kInvalidArgument for a call that it will never
  // take. What can't be delivered goes aside and is reported: by the hub where it saw it, else by an event
  // audit.event.refused that `report` makes. All outlive the sender.
  using Send = std::function<Result<std::vector<RefusedEvent>>(const std::vector<std::string>& events_json)>;
  using Report = std::function<audit::Event()>;
  // recovered: called on the sender's thread when the hub takes events again that it could not be given before.
  EventSender(EventLog& log, Send send, Report report, std::function<void()> recovered = nullptr);
  ~EventSender();  // stop()

  // Any thread: the hub may be there again.
  void kick();
  // What is there is sent, as long as that goes well and for no longer than the limit; then the thread ends.
  void stop(std::chrono::milliseconds limit = std::chrono::seconds(2));

 private:
  static constexpr std::size_t kBatchEvents = 200;
  void run();
  bool send_one();
  bool deliver(const EventLog::Batch& batch);
  void set_aside(const EventLog::Batch& batch, std::vector<std::string> lines);
  void tell(std::string_view problem, std::string_view text);
  void give_up_unreadable(const Error& error);

  EventLog& log_;
  const Send send_;
  const Report report_;
  const std::function<void()> recovered_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> kicked_{false};
  SteadyTime stop_limit_{};
  std::size_t batch_size_ = kBatchEvents;
  unsigned failures_ = 0;
  unsigned unreadable_ = 0;
  std::thread thread_;
};

class RecordingSender {
 public:
  // node: for the events of uploads; policy: what a full spool means for new sessions, for the event that tells of it.
  // All outlive the sender.
  RecordingSender(recording::Spool& spool, recording::UploadTarget& target, EventSink& events,
                  const NodeFactsStore& node, OnRecordingFailure policy, const Clock& clock);
  ~RecordingSender();  // stop()

  // Any thread: the hub may be there again. What waits after failures is tried at once.
  void kick();
  // Any thread: there is a new recording.
  void wake();
  void stop();

  // What waits, as of the last look; failures since the start.
  struct Backlog {
    recording::Spool::Backlog spool;
    std::uint64_t limit_bytes = 0;
    std::uint64_t failures = 0;
  };
  Backlog backlog() const;

 private:
  void run();
  void uploaded(std::string_view session_id, std::uint64_t size_bytes);
  void failed(std::string_view session_id, const Error& error, bool set_aside);
  void look_at_backlog();

  recording::Spool& spool_;
  EventSink& events_;
  const NodeFactsStore& node_;
  const Clock& clock_;
  recording::Uploader uploader_;
  std::map<std::string, SteadyTime, std::less<>> told_;  // when an event last told of a failure
  const OnRecordingFailure policy_;
  SteadyTime alarmed_at_{};
  bool alarmed_ = false;
  Backlog backlog_;  // guarded by mutex_
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool kicked_ = false;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mezite::agent
