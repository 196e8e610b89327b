#include "recording/event_buffer.hh"

#include <algorithm>
#include <utility>

#include "recording/wire.hh"

namespace mezite::recording {
namespace {

// More than any event needs beside its data: kind, time and length; and than an end or a resize needs as a whole.
constexpr std::size_t kEventBytes = 64;
constexpr std::size_t kLeastLentBytes = 16 * 1024;
static_assert(kSegmentBytes < wire::kMaxFixedHeadData);

}  // namespace

// Begins an event: gives its time since the one before it in the segment.
std::uint64_t EventBuffer::advance(SteadyTime now) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - started_).count();
  const std::uint64_t at = std::max<std::uint64_t>(segment_.end_ms, since > 0 ? static_cast<std::uint64_t>(since) : 0);
  if (empty()) {
    first_at_ = now;
    segment_.start_ms = segment_.end_ms = at;
  }
  return at - std::exchange(segment_.end_ms, at);
}

bool EventBuffer::has_room_to_lend() const {
  return segment_.raw.size() + wire::kFixedHeadBytes + kLeastLentBytes <= kSegmentBytes;
}

LentMemory EventBuffer::lend(std::size_t most) {
  const std::span<std::uint8_t> room = segment_.raw.room();
  if (room.empty() || !has_room_to_lend()) return {};
  lent_ = true;
  const auto bytes = room.subspan(wire::kFixedHeadBytes);
  return {.bytes = bytes.first(std::min(most, bytes.size())), .keep = segment_.raw.keep()};
}

// Whoever has what was lent may be writing to it: that memory is his, what is here goes on in other.
void EventBuffer::leave_lent() {
  if (!std::exchange(lent_, false) || !segment_.raw.is_shared()) return;
  SegmentBytes copy;
  copy.append(segment_.raw);
  segment_.raw = std::move(copy);
}

BytesView EventBuffer::put(EventKind kind, BytesView data, SteadyTime now) {
  const std::span<std::uint8_t> place = segment_.raw.room();
  if (lent_ && !data.empty() && data.data() == place.data() + wire::kFixedHeadBytes &&
      data.size() + wire::kFixedHeadBytes <= place.size()) {
    lent_ = false;
    std::ranges::copy(wire::fixed_data_head(kind, advance(now), data.size()), place.begin());
    segment_.raw.grow(wire::kFixedHeadBytes + data.size());
    return {};
  }
  leave_lent();
  while (!data.empty() && !full()) {
    const std::size_t room = kSegmentBytes - segment_.raw.size() - kEventBytes / 2;
    const BytesView piece = data.first(std::min({data.size(), wire::kMaxDataBytes, room}));
    data = data.subspan(piece.size());
    segment_.raw.append(wire::data_head(kind, advance(now), piece.size()));
    segment_.raw.append(piece);
  }
  return data;
}

void EventBuffer::put_resize(std::uint16_t columns, std::uint16_t rows, SteadyTime now) {
  leave_lent();
  Bytes event;
  wire::put_resize(event, advance(now), columns, rows);
  segment_.raw.append(event);
}

void EventBuffer::put_end(const SessionEnd& end, SteadyTime now) {
  leave_lent();
  Bytes event;
  wire::put_end(event, advance(now), end);
  segment_.raw.append(event);
}

bool EventBuffer::full() const { return segment_.raw.size() + kEventBytes > kSegmentBytes; }

Segment EventBuffer::take(SegmentBytes memory) {
  leave_lent();
  memory.clear();
  const std::uint64_t last_ms = segment_.end_ms;
  return std::exchange(segment_, {.raw = std::move(memory), .start_ms = last_ms, .end_ms = last_ms});
}

}  // namespace mezite::recording
