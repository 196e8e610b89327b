// Audit events on their way to the hub: durable before anybody goes on, kept until the hub has acknowledged them.
//
//   <folder>/<number>.jsonl   segments, oldest number first; one event a line
//   <folder>/aside.jsonl      events that can't be sent, or that the hub refuses for good
//   <folder>/<number>.kept    a segment that could not be read, or held such an event while aside.jsonl took none
//
// A segment goes when all of it is acknowledged. One that was acknowledged in part is sent again after a restart; the
// hub knows the ids of events and stores none twice.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/session/events.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {

// Thread-safe.
class EventLog final : public EventSink {
 public:
  static constexpr std::uint64_t kSegmentBytes = 256 << 10;

  // Makes the folder; takes up what an earlier run left. A torn last line is cut off.
  static Result<std::unique_ptr<EventLog>> open(const std::filesystem::path& folder,
                                                std::uint64_t limit_bytes = std::uint64_t{1} << 30);

  // Writes and syncs (one fdatasync for all who wait at the same time). When the disk fails the events are kept in
  // memory, as long as there is room, to be sent all the same; the error is returned.
  Status emit(std::vector<audit::Event> events) override;

  struct Batch {
    std::vector<std::string> lines;
    std::uint64_t segment = 0;  // 0: from memory
    std::uint64_t bytes = 0;
  };
  static constexpr std::size_t kMaxBatchBytes = 512 << 10;
  // The oldest events that are not acknowledged, the same again until acknowledge(). Empty: none. What stands in a
  // segment where an event should is given as it is: look before sending it.
  Result<Batch> next(std::size_t max_events = 200);
  void acknowledge(const Batch& batch);
  // Puts lines of the batch in aside.jsonl. When that fails the segment they came from is kept (renamed) in place of
  // being deleted, so that they are not lost. The batch is still to be acknowledged.
  Status set_aside(const Batch& batch, const std::vector<std::string>& lines);
  // The oldest segment can't be read: it is renamed and those behind it are up. Gives its new path; "" when there is
  // none.
  std::string give_up_oldest();

  // Blocks until there may be something to send, or the time is over, or interrupt().
  void wait(std::chrono::milliseconds limit);
  void interrupt();

  std::uint64_t size_bytes() const;

 private:
  struct Segment {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    bool keep = false;
  };
  EventLog() = default;
  std::filesystem::path path_of(std::uint64_t number) const;
  std::filesystem::path kept_path_of(std::uint64_t number) const;
  void pop_segment();
  Status recover();
  Status write_lines(std::string_view lines, std::unique_lock<std::mutex>& lock);
  Status open_segment();
  void drop_done_segments();
  std::uint64_t size_locked() const;

  std::filesystem::path folder_;
  std::uint64_t limit_bytes_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable synced_changed_;
  std::condition_variable wake_;
  std::deque<Segment> segments_;  // the last one is written to
  UniqueFd fd_;                   // of the last one; none: the next event makes a new one
  std::uint64_t next_number_ = 1;
  std::uint64_t sent_ = 0;  // acknowledged bytes of the first segment
  std::uint64_t written_total_ = 0;
  std::uint64_t synced_total_ = 0;
  bool syncing_ = false;
  bool interrupted_ = false;
  bool more_ = false;
  std::deque<std::string> memory_;  // what the disk did not take
};

}  // namespace mezite::agent
