#include "agent/outbox/senders.hh"

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "agent/hub/control.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "crypto/hash.hh"

namespace mezite::agent {
namespace {

constexpr std::chrono::minutes kFailureEventInterval{10};
constexpr std::chrono::minutes kAlarmInterval{10};
constexpr std::chrono::hours kOldBacklog{1};
constexpr std::chrono::seconds kSpoolLook{10};
constexpr std::size_t kMaxTold = 1024;
constexpr std::size_t kMaxExcerptBytes = 4096;
constexpr unsigned kMaxUnreadable = 3;

// How much nicer the thread that uploads is: hashing and sending a gigabyte can wait for what sessions need now.
constexpr int kUploadNice = 10;

// What gRPC can carry as text and the hub takes at all.
bool can_be_sent(const std::string& line) { return line.size() <= audit::kMaxEventJsonBytes && is_valid_utf8(line); }

std::uint64_t random_number() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random();
}

}  // namespace

EventSender::EventSender(EventLog& log, Send send, Report report, std::function<void()> recovered)
    : log_(log), send_(std::move(send)), report_(std::move(report)), recovered_(std::move(recovered)), thread_([this] {
        run();
      }) {}

EventSender::~EventSender() { stop(); }

void EventSender::kick() {
  kicked_ = true;
  log_.interrupt();
}

void EventSender::stop(std::chrono::milliseconds limit) {
  if (!thread_.joinable()) return;
  stop_limit_ = system_clock().steady() + limit;
  stopping_ = true;
  log_.interrupt();
  thread_.join();
}

bool EventSender::send_one() {
  Result<EventLog::Batch> batch = log_.next(batch_size_);
  if (!batch) {
    log::error("reading audit events", {{"error", batch.error()}});
    if (++unreadable_ < kMaxUnreadable) return true;
    unreadable_ = 0;
    give_up_unreadable(batch.error());
    return true;
  }
  unreadable_ = 0;
  if (batch->lines.empty()) return false;
  if (deliver(*batch)) return true;
  ++failures_;
  return false;
}

bool EventSender::deliver(const EventLog::Batch& batch) {
  std::vector<std::string> lines, aside;
  for (const std::string& line : batch.lines) (can_be_sent(line) ? lines : aside).push_back(line);
  std::vector<std::string> unsendable = aside;
  if (!lines.empty()) {
    Result<std::vector<RefusedEvent>> refused = send_(lines);
    if (!refused) {
      if (refused.error().code != ErrorCode::kInvalidArgument) {
        log::warn("sending audit events", {{"error", refused.error()}});
        return false;
      }
      // A hub that does not say which one. Alone it holds up no other.
      if (batch.lines.size() > 1) {
        batch_size_ = 1;
        return true;
      }
      log::error("the hub refuses an audit event; it is kept in aside.jsonl", {{"error", refused.error()}});
      unsendable = aside = lines;
    } else {
      for (const RefusedEvent& event : *refused) {
        if (event.index >= lines.size()) continue;
        log::error("the hub refuses an audit event; it is kept in aside.jsonl", {{"problem", event.problem}});
        aside.push_back(lines[event.index]);
      }
    }
  }
  if (!aside.empty()) {
    if (Status kept = log_.set_aside(batch, aside); !kept) {
      log::error("setting audit events aside", {{"error", kept.error()}});
    }
    for (const std::string& line : unsendable) {
      // A report of a report of a report tells nothing new.
      if (line.find(R"("event_type":"audit.event.refused")") != std::string::npos) continue;
      tell("the event can't be sent: it is kept at the node", line);
    }
  }
  if (std::exchange(failures_, 0) != 0 && recovered_) recovered_();
  batch_size_ = kBatchEvents;
  log_.acknowledge(batch);
  return true;
}

// Of what the hub has not seen.
void EventSender::tell(std::string_view problem, std::string_view text) {
  audit::Event event = report_();
  event.resource_type = "audit_event";
  event.error_message = std::string(problem);
  event.details = audit::Details()
                      .add("event", text.substr(0, kMaxExcerptBytes))
                      .add("bytes", static_cast<std::int64_t>(text.size()))
                      .add("sha256", to_hex(crypto::sha256(as_bytes(text))))
                      .text();
  log::error("an audit event can't be sent", {{"problem", problem}, {"bytes", static_cast<std::int64_t>(text.size())}});
  if (Status told = log_.emit({std::move(event)}); !told) {
    log::error("an audit event could not be stored", {{"error", told.error()}});
  }
}

void EventSender::give_up_unreadable(const Error& error) {
  std::string kept = log_.give_up_oldest();
  if (kept.empty()) return;
  log::error("audit events that wait for the hub can't be read; the file is kept", {{"file", kept}});
  tell(fmt::format("audit events at the node can't be read, {} is kept: {}", kept, error.message), "");
}

void EventSender::run() {
  while (!stopping_) {
    bool more = send_one();
    if (more) continue;
    auto pause = failures_ == 0 ? std::chrono::milliseconds(30'000) : reconnect_delay(failures_, random_number());
    // After a failure new events are no reason to try sooner.
    SteadyTime until = system_clock().steady() + pause;
    do {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - system_clock().steady());
      log_.wait(std::max(left, std::chrono::milliseconds(0)));
    } while (failures_ != 0 && !stopping_ && !kicked_.exchange(false) && system_clock().steady() < until);
  }
  while (system_clock().steady() < stop_limit_ && send_one()) {
  }
}

RecordingSender::RecordingSender(recording::Spool& spool, recording::UploadTarget& target, EventSink& events,
                                 const NodeFactsStore& node, OnRecordingFailure policy, const Clock& clock)
    : spool_(spool),
      events_(events),
      node_(node),
      clock_(clock),
      uploader_(spool, target, clock,
                {.uploaded = [this](std::string_view id, std::uint64_t size) { uploaded(id, size); },
                 .failed = [this](std::string_view id, const Error& error, bool aside) { failed(id, error, aside); }},
                random_number()),
      policy_(policy),
      thread_([this] { run(); }) {}

RecordingSender::~RecordingSender() { stop(); }

void RecordingSender::kick() {
  std::lock_guard lock(mutex_);
  kicked_ = true;
  wake_.notify_all();
}

void RecordingSender::wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void RecordingSender::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void RecordingSender::run() {
  ::pthread_setname_np(::pthread_self(), "uploads");
  // This thread alone: Linux has a nice value for each (nptl(7)).
  errno = 0;
  if (::nice(kUploadNice) == -1 && errno != 0) log::warn("uploads run with the priority of sessions");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (std::exchange(kicked_, false)) uploader_.retry_now();
    woken_ = false;
    lock.unlock();
    look_at_backlog();  // before a round that may be long as well
    SteadyTime next = uploader_.run_once();
    look_at_backlog();
    lock.lock();
    if (stopping_ || kicked_ || woken_) continue;
    auto left = std::clamp<std::chrono::nanoseconds>(next - clock_.steady(), std::chrono::milliseconds(10), kSpoolLook);
    wake_.wait_for(lock, left, [this] { return kicked_ || woken_ || stopping_; });
  }
}

RecordingSender::Backlog RecordingSender::backlog() const {
  std::lock_guard lock(mutex_);
  return backlog_;
}

void RecordingSender::look_at_backlog() {
  const recording::Spool::Backlog now = spool_.backlog();
  const std::uint64_t limit = spool_.limit_bytes();
  {
    std::lock_guard lock(mutex_);
    backlog_.spool = now;
    backlog_.limit_bytes = limit;
  }
  const bool bad = now.bytes >= limit / 5 * 4 || now.oldest_age >= kOldBacklog;
  if (!bad && !alarmed_) return;
  if (bad && alarmed_ && clock_.steady() - alarmed_at_ < kAlarmInterval) return;
  alarmed_ = bad;
  alarmed_at_ = clock_.steady();
  const std::string_view policy = policy_ == OnRecordingFailure::kRefuse ? "refuse" : "continue";
  auto age = std::chrono::duration_cast<std::chrono::seconds>(now.oldest_age).count();
  log::warn(bad ? "recordings wait at this node" : "the recordings that waited at this node are uploaded",
            {{"waiting", now.waiting}, {"bytes", now.bytes}, {"limit_bytes", limit}, {"oldest_age_s", age}});
  audit::Event event = node_event(bad ? audit::EventKind::kRecordingBacklog : audit::EventKind::kRecordingBacklogGone,
                                  *node_.current(), clock_);
  event.details = audit::Details()
                      .add("waiting", static_cast<std::int64_t>(now.waiting))
                      .add("set_aside", static_cast<std::int64_t>(now.aside))
                      .add("bytes", static_cast<std::int64_t>(now.bytes))
                      .add("limit_bytes", static_cast<std::int64_t>(limit))
                      .add("oldest_age_s", static_cast<std::int64_t>(age))
                      .add("policy", policy)
                      .text();
  if (Status told = events_.emit({std::move(event)}); !told) {
    log::error("an audit event could not be stored", {{"error", told.error()}});
  }
}

void RecordingSender::uploaded(std::string_view session_id, std::uint64_t size_bytes) {
  told_.erase(std::string(session_id));
  log::info("uploaded session recording", {{"session", session_id}, {"bytes", size_bytes}});
  audit::Event event = node_event(audit::EventKind::kSessionRecordingUploaded, *node_.current(), clock_);
  event.session_id = std::string(session_id);
  event.details = audit::Details().add("bytes", static_cast<std::int64_t>(size_bytes)).text();
  if (Status told = events_.emit({std::move(event)}); !told) {
    log::error("an audit event could not be stored", {{"error", told.error()}});
  }
}

void RecordingSender::failed(std::string_view session_id, const Error& error, bool set_aside) {
  log::error("uploading session recording", {{"session", session_id}, {"error", error}, {"set_aside", set_aside}});
  {
    std::lock_guard lock(mutex_);
    ++backlog_.failures;
  }
  SteadyTime now = clock_.steady();
  auto last = told_.find(session_id);
  if (last != told_.end() && now - last->second < kFailureEventInterval && !set_aside) return;
  if (told_.size() >= kMaxTold) told_.clear();
  told_[std::string(session_id)] = now;
  audit::Event event = node_event(audit::EventKind::kSessionRecordingFailed, *node_.current(), clock_);
  event.session_id = std::string(session_id);
  event.error_message = error.message;
  event.details = audit::Details().add("while", "uploading").add("set_aside", set_aside).text();
  if (Status told = events_.emit({std::move(event)}); !told) {
    log::error("an audit event could not be stored", {{"error", told.error()}});
  }
}

}  // namespace mezite::agent
