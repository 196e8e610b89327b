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

#include "agent/outbox/event_log.hh"
#include "base/clock.hh"
#include "recording/uploader.hh"

namespace mezite::agent {

class EventSender {
 public:
  // send: blocks; kInvalidArgument for a batch that the hub will never take. Both outlive the sender.
  using Send = std::function<Status(const std::vector<std::string>& events_json)>;
  EventSender(EventLog& log, Send send);
  ~EventSender();  // stop()

  // Any thread: the hub may be there again.
  void kick();
  // What is there is sent, as long as that goes well and for no longer than the limit; then the thread ends.
  void stop(std::chrono::milliseconds limit = std::chrono::seconds(2));

 private:
  void run();
  bool send_one();

  EventLog& log_;
  const Send send_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> kicked_{false};
  SteadyTime stop_limit_{};
  std::size_t batch_size_ = 200;
  unsigned failures_ = 0;
  std::thread thread_;
};

class RecordingSender {
 public:
  // node: for the events of uploads. All outlive the sender.
  RecordingSender(recording::Spool& spool, recording::UploadTarget& target, EventSink& events,
                  const NodeFactsStore& node, const Clock& clock);
  ~RecordingSender();  // stop()

  // Any thread: there is a new recording, or the hub may be there again.
  void kick();
  void stop();

  // Bytes that wait, as of the last look.
  std::uint64_t spool_bytes() const { return spool_bytes_.load(); }

 private:
  void run();
  void uploaded(std::string_view session_id, std::uint64_t size_bytes);
  void failed(std::string_view session_id, const Error& error, bool set_aside);

  recording::Spool& spool_;
  EventSink& events_;
  const NodeFactsStore& node_;
  const Clock& clock_;
  recording::Uploader uploader_;
  std::map<std::string, SteadyTime, std::less<>> told_;  // when an event last told of a failure
  std::atomic<std::uint64_t> spool_bytes_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool kicked_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mezite::agent
