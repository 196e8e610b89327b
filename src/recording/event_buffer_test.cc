// Session data becomes segments: none too long, none of the data lost or out of order, times that never go back.
#include "recording/event_buffer.hh"

#include <gtest/gtest.h>

#include "recording/test_support.hh"
#include "recording/wire.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;

const SteadyTime kStart{1h};

std::vector<Event> events_of(const Segment& segment) {
  std::vector<Event> events;
  wire::Cursor cursor{segment.raw};
  std::uint64_t at_ms = segment.start_ms;
  while (!cursor.empty()) {
    auto event = wire::get_event(cursor, at_ms);
    if (!event) {
      ADD_FAILURE() << "a malformed event";
      break;
    }
    events.push_back(*std::move(event));
  }
  EXPECT_EQ(at_ms, segment.end_ms);
  return events;
}

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  return bytes;
}

TEST(EventBuffer, FillsSegmentsAndLosesNothing) {
  for (const std::size_t piece : {1U, 63U, 1000U, 32'768U, 131'071U, 700'001U}) {
    SCOPED_TRACE(piece);
    const Bytes sent = counting(700'001);
    EventBuffer buffer(kStart);
    std::string got;
    int full = 0;
    const auto collect = [&](const Segment& segment) {
      EXPECT_LE(segment.raw.size(), kSegmentBytes);
      for (const Event& event : events_of(segment)) got += as_text(event.data);
    };
    for (std::size_t at = 0; at < sent.size(); at += piece) {
      BytesView rest = BytesView(sent).subspan(at, std::min(piece, sent.size() - at));
      while (!rest.empty()) {
        rest = buffer.put(EventKind::kOutput, rest, kStart);
        EXPECT_TRUE(rest.empty() || buffer.full());
        if (!buffer.full()) continue;
        ++full;
        EXPECT_GT(buffer.size_bytes(), kSegmentBytes - 64);
        collect(buffer.take());
      }
    }
    collect(buffer.take());
    EXPECT_GE(full, 5);
    EXPECT_TRUE(buffer.empty());
    EXPECT_EQ(got, as_text(sent));
  }
}

TEST(EventBuffer, HasRoomForAnEndOrAResizeUnlessItIsFull) {
  for (std::size_t size = kSegmentBytes - 200; size < kSegmentBytes; ++size) {
    EventBuffer buffer(kStart);
    const Bytes data(size, 'x');
    buffer.put(EventKind::kStdout, data, kStart);
    if (buffer.full()) continue;
    // The longest there is.
    buffer.put_end({.exit_code = -1, .signal = std::string(64, 'S')}, kStart + 2'000'000h);
    EXPECT_LE(buffer.size_bytes(), kSegmentBytes) << size;
  }
}

TEST(EventBuffer, TimesNeverGoBack) {
  EventBuffer buffer(kStart);
  EXPECT_EQ(buffer.due(), SteadyTime::max());
  buffer.put(EventKind::kOutput, as_bytes("a"), kStart + 500ms);
  EXPECT_EQ(buffer.due(), kStart + 500ms + kFlushInterval);
  buffer.put(EventKind::kOutput, as_bytes("b"), kStart + 400ms);
  buffer.put_resize(80, 24, kStart + 600ms);
  const Segment first = buffer.take();
  buffer.put(EventKind::kOutput, as_bytes("c"), kStart - 1s);
  buffer.put(EventKind::kOutput, as_bytes("d"), kStart + 700ms);
  const Segment second = buffer.take();
  std::vector<std::chrono::milliseconds> times;
  for (const Segment* segment : {&first, &second}) {
    for (const Event& event : events_of(*segment)) times.push_back(event.at);
  }
  EXPECT_EQ(times, (std::vector<std::chrono::milliseconds>{500ms, 500ms, 600ms, 600ms, 700ms}));
  EXPECT_EQ(second.start_ms, 600U);
}

TEST(EventBuffer, UsesTheMemoryItIsGiven) {
  EventBuffer buffer(kStart);
  buffer.put(EventKind::kOutput, as_bytes("a"), kStart);
  SegmentBytes memory;
  memory.append(counting(kSegmentBytes));
  const std::uint8_t* place = BytesView(memory).data();
  EXPECT_EQ(events_of(buffer.take(std::move(memory))).size(), 1U);
  EXPECT_TRUE(buffer.empty());
  buffer.put(EventKind::kOutput, as_bytes("b"), kStart);
  EXPECT_EQ(BytesView(buffer.take().raw).data(), place);
}

SegmentBytes whole_memory() {
  SegmentBytes memory;
  memory.append(counting(kSegmentBytes));
  return memory;
}

TEST(EventBuffer, WhatComesToLentMemoryStaysThere) {
  EventBuffer buffer(kStart);
  EXPECT_TRUE(buffer.lend(1000).bytes.empty());  // memory of its own is for little
  (void)buffer.take(whole_memory());
  const Bytes sent = counting(400'000);
  std::string got;
  int lent = 0;
  for (std::size_t at = 0; at < sent.size();) {
    if (!buffer.has_room_to_lend()) {
      EXPECT_TRUE(buffer.lend(1000).bytes.empty());
      for (const Event& event : events_of(buffer.take(whole_memory()))) got += as_text(event.data);
    }
    const std::size_t most = std::array<std::size_t, 3>{3, 20'000, 200'000}[static_cast<std::size_t>(lent) % 3];
    const LentMemory memory = buffer.lend(most);
    ASSERT_GT(memory.bytes.size(), 0U);
    ASSERT_LE(memory.bytes.size(), most);
    const BytesView piece = BytesView(sent).subspan(at, std::min(memory.bytes.size(), sent.size() - at));
    std::ranges::copy(piece, memory.bytes.begin());
    const std::size_t before = buffer.size_bytes();
    EXPECT_TRUE(buffer.put(EventKind::kOutput, memory.bytes.first(piece.size()), kStart + lent * 1s).empty());
    EXPECT_EQ(buffer.size_bytes() - before, piece.size() + wire::kFixedHeadBytes);
    at += piece.size();
    ++lent;
  }
  EXPECT_LE(buffer.size_bytes(), kSegmentBytes);
  for (const Event& event : events_of(buffer.take())) got += as_text(event.data);
  EXPECT_EQ(got, as_text(sent));
}

// What was lent may be written to by whoever has it: nothing else comes to stand there, and nothing that was there
// goes.
TEST(EventBuffer, LentMemoryIsLeftToWhoHasIt) {
  using Act = void (*)(EventBuffer&, Segment&);
  const Act acts[] = {
      [](EventBuffer& buffer, Segment&) { buffer.put(EventKind::kStderr, as_bytes("other"), kStart); },
      [](EventBuffer& buffer, Segment&) { buffer.put_resize(80, 24, kStart); },
      [](EventBuffer& buffer, Segment&) { buffer.put_end({.exit_code = 0, .signal = ""}, kStart); },
      [](EventBuffer& buffer, Segment& taken) { taken = buffer.take(whole_memory()); },
  };
  for (const Act act : acts) {
    EventBuffer buffer(kStart);
    (void)buffer.take(whole_memory());
    buffer.put(EventKind::kStdout, as_bytes("before"), kStart);
    const LentMemory memory = buffer.lend(5);
    Segment taken;
    act(buffer, taken);
    std::ranges::fill(memory.bytes, '!');
    std::ranges::copy(as_bytes("after"), memory.bytes.begin());
    buffer.put(EventKind::kStdout, memory.bytes, kStart);
    std::string got;
    for (const Segment& segment : {std::move(taken), buffer.take()}) {
      if (segment.raw.empty()) continue;
      for (const Event& event : events_of(segment)) {
        if (event.kind == EventKind::kStdout) got += as_text(event.data);
      }
    }
    EXPECT_EQ(got, "beforeafter");
  }
}

TEST(EventBuffer, NothingIsTakenFromALentSegmentThatIsEmpty) {
  EventBuffer buffer(kStart);
  (void)buffer.take(whole_memory());
  const LentMemory memory = buffer.lend(5);
  EXPECT_TRUE(buffer.take().raw.empty());
  std::ranges::copy(as_bytes("after"), memory.bytes.begin());
  buffer.put(EventKind::kStdout, memory.bytes, kStart);
  EXPECT_EQ(as_text(events_of(buffer.take()).at(0).data), "after");
}

TEST(EventBuffer, MemoryThatCameBackIsUsedFurther) {
  EventBuffer buffer(kStart);
  (void)buffer.take(whole_memory());
  const std::uint8_t* place = buffer.lend(100).bytes.data();  // nothing came
  EXPECT_EQ(buffer.lend(100).bytes.data(), place);
  buffer.put(EventKind::kStdout, as_bytes("x"), kStart);
  EXPECT_TRUE(buffer.has_whole_memory());
}

TEST(SegmentBytes, GrowsAndStaysAtAPage) {
  const Bytes sent = counting(SegmentBytes::kMaxBytes);
  SegmentBytes bytes;
  EXPECT_TRUE(BytesView(bytes).empty());
  for (std::size_t at = 0; at < sent.size();) {
    const std::size_t piece = std::min<std::size_t>(at + 1, sent.size() - at);
    bytes.append(BytesView(sent).subspan(at, piece));
    at += piece;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.memory().data()) % kPageBytes, 0U);
    EXPECT_GE(bytes.memory().size(), SegmentBytes::kRoomBefore + bytes.size() + SegmentBytes::kRoomBehind);
  }
  EXPECT_TRUE(bytes.is_whole());
  EXPECT_TRUE(std::ranges::equal(BytesView(bytes), sent));
  SegmentBytes other = std::move(bytes);
  EXPECT_TRUE(std::ranges::equal(BytesView(other), sent));
  EXPECT_TRUE(bytes.empty());  // NOLINT(bugprone-use-after-move): says what a move leaves
  bytes.append(as_bytes("again"));
  EXPECT_EQ(as_text(BytesView(bytes)), "again");
}

// What goes past the cache is written from where the session put it: whole pages, however full the segments are.
TEST(Writer, FullSegmentsThatDoNotCompressAreWholePagesWhereTheyAre) {
  const TempFolder folder;
  Writer writer = Writer::create(folder / "a", some_header(), kStart).value();
  EventBuffer buffer(kStart);
  Bytes noise(1'200'000);
  std::uint32_t random = 7;
  for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  std::uint64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<Segment> segments;
    for (BytesView rest = noise; !rest.empty();) {
      rest = buffer.put(EventKind::kStdout, rest, kStart);
      segments.push_back(buffer.take());
    }
    ASSERT_TRUE(writer.append(segments, Writer::Flow::kBulk));
    const std::uint64_t grown = writer.size_bytes() - std::exchange(before, writer.size_bytes());
    if (round == 0) continue;  // the header's end is at no page
    const std::size_t rest = SegmentBytes::kRoomBefore + segments.back().raw.size() + wire::kTrailerBytes;
    EXPECT_EQ(grown, (segments.size() - 1) * (kSegmentMemoryBytes - kPageBytes) + (rest / kPageBytes + 1) * kPageBytes);
    for (Segment& segment : segments) {
      // The frame stands before the events in the caller's memory, as it does in the file.
      EXPECT_EQ(wire::get_u32(segment.raw.memory().subspan(8)), segment.raw.size());
    }
  }
  const ReadBack back = read_back_file(folder / "a");
  EXPECT_EQ(back.text(EventKind::kStdout).size(), 3 * noise.size());
  EXPECT_FALSE(back.error);
}

TEST(Writer, BulkEndsAtAWholePage) {
  for (const std::size_t extra : {0U, 1U, 3000U, 4090U}) {
    const TempFolder folder;
    Writer writer = Writer::create(folder / "a", some_header(), kStart).value();
    EventBuffer buffer(kStart);
    std::vector<Segment> segments;
    std::uint32_t random = 7;
    for (int i = 0; i < 4; ++i) {
      Bytes noise(100'000 + extra);
      for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
      EXPECT_TRUE(buffer.put(EventKind::kStdout, noise, kStart).empty());
      segments.push_back(buffer.take());
    }
    ASSERT_TRUE(writer.append(segments, Writer::Flow::kBulk));
    EXPECT_EQ(writer.size_bytes() % 4096, 0U);
    const auto first = writer.size_bytes();
    ASSERT_TRUE(writer.append(segments, Writer::Flow::kBulk));  // and now past the cache
    EXPECT_LE(writer.size_bytes() - first, 4 * (100'000 + extra + 100 + 4096));
    const ReadBack back = read_back_file(folder / "a");
    EXPECT_EQ(back.text(EventKind::kStdout).size(), 8 * (100'000 + extra));
    EXPECT_FALSE(back.error);
    EXPECT_EQ(back.valid_bytes, writer.size_bytes());
  }
}

// Bulk goes past the cache in whole pages, padded, the rest by way of it: nothing may be lost at the seams.
TEST(Writer, AppendsTheSameWhateverTheCache) {
  for (const bool encrypted : {false, true}) {
    const TempFolder folder;
    const Identity identity = Identity::generate();
    const std::vector<Recipient> recipients(encrypted ? 1 : 0, identity.recipient());
    Writer writer = Writer::create(folder / "a", some_header(), kStart, recipients).value();
    EventBuffer buffer(kStart);
    std::string sent;
    std::uint32_t random = 7;
    for (int round = 0; round < 24; ++round) {
      std::vector<Segment> segments;
      for (int i = 0; i <= round % 6; ++i) {
        Bytes data(round % 5 == 0 ? 100 + static_cast<std::size_t>(i) : 120'000);
        for (auto& byte : data) {
          random = random * 1664525 + 1013904223;
          byte = static_cast<std::uint8_t>(round % 4 == 0 ? 'x' : random >> 24);
        }
        sent += as_text(data);
        EXPECT_TRUE(buffer.put(EventKind::kStdout, data, kStart + round * 1s).empty());
        segments.push_back(buffer.take());
      }
      const auto before = writer.size_bytes();
      ASSERT_TRUE(writer.append(segments, round % 3 == 0 ? Writer::Flow::kUsual : Writer::Flow::kBulk));
      EXPECT_GT(writer.size_bytes(), before);
      EXPECT_EQ(std::filesystem::file_size(folder / "a"), writer.size_bytes());
    }
    ASSERT_TRUE(writer.finish({.exit_code = 0, .signal = ""}, kStart + 1h));
    Reader reader = Reader::open_file(folder / "a", {.identity = encrypted ? &identity : nullptr}).value();
    std::string got;
    for (auto event = reader.next().value(); event; event = reader.next().value()) got += as_text(event->data);
    EXPECT_TRUE(reader.complete());
    EXPECT_EQ(got.size(), sent.size());
    EXPECT_TRUE(got == sent);
  }
}

}  // namespace
}  // namespace mezite::recording
