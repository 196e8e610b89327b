// A segment's events as they come, encoded as they stand in the file: what a session writes is copied here, once, and
// then goes to the disk from here.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.hh"
#include "base/lent_memory.hh"
#include "recording/event.hh"
#include "recording/segment_bytes.hh"

namespace mezite::recording {

inline constexpr std::size_t kSegmentBytes = SegmentBytes::kMaxBytes;  // of events at most, before compression
inline constexpr std::chrono::milliseconds kFlushInterval{1000};

// Events that make one segment of the file.
struct Segment {
  SegmentBytes raw;
  std::uint64_t start_ms = 0;  // of its first event, since the recording began
  std::uint64_t end_ms = 0;    // of its last
};

// Not thread-safe. Times never go back, whatever the clock given says.
class EventBuffer {
 public:
  explicit EventBuffer(SteadyTime started) : started_(started) {}

  // Takes as much of the data as has room; gives the rest. It is full when there is a rest.
  BytesView put(EventKind kind, BytesView data, SteadyTime now);
  // Where data can come to stand without being copied: at most `most` bytes, kept from others as long as the memory is
  // held, for the next call, which is to put() the first of them. None unless has_whole_memory() and there is much
  // room.
  LentMemory lend(std::size_t most);
  bool has_whole_memory() const { return segment_.raw.is_whole(); }
  void put_resize(std::uint16_t columns, std::uint16_t rows, SteadyTime now);
  void put_end(const SessionEnd& end, SteadyTime now);

  bool empty() const { return segment_.raw.empty(); }
  // Then take() it before more is put.
  bool full() const;
  bool has_room_to_lend() const;
  std::size_t size_bytes() const { return segment_.raw.size(); }
  // When the oldest event is kFlushInterval old; SteadyTime::max() when there is none.
  SteadyTime due() const { return empty() ? SteadyTime::max() : first_at_ + kFlushInterval; }

  // What was put since the last time. `memory` is used for what comes next; what it holds is forgotten.
  Segment take(SegmentBytes memory = {});

 private:
  std::uint64_t advance(SteadyTime now);
  void leave_lent();

  SteadyTime started_;
  SteadyTime first_at_{};
  Segment segment_;
  bool lent_ = false;  // what was lent has not come
};

}  // namespace mezite::recording
