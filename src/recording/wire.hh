// The bytes of the file format (docs/recording-format.md), for the writer and the reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.hh"
#include "recording/chain.hh"
#include "recording/event.hh"

namespace mezite::recording::wire {

inline constexpr std::string_view kMagic = "MEZREC2\n";
inline constexpr std::size_t kPreambleBytes = 12;  // magic, header length
inline constexpr std::size_t kFrameBytes = 28;
inline constexpr std::size_t kTrailerBytes = sizeof(Tag) + sizeof(Sum);  // behind a block, and behind the header
inline constexpr std::uint32_t kMaxBlockBytes = 1 << 20;                 // compressed, and not
inline constexpr std::size_t kMaxDataBytes = 32 * 1024;                  // of one event
inline constexpr std::uint64_t kMaxTimeMs = std::uint64_t{1} << 39;      // 17 years: no sum with a SystemTime overflows
inline constexpr std::size_t kSealBytes = 28;         // an encrypted block is longer by nonce and tag
inline constexpr std::size_t kFooterBlockBytes = 16;  // offset and number of the index
inline constexpr std::size_t kFooterBytes = kFrameBytes + kFooterBlockBytes + kTrailerBytes;  // the last segment

enum class SegmentKind : std::uint8_t { kEvents = 1, kIndex = 2, kFooter = 3 };

// What stands before a segment's block. Its check binds it to the sum before it, so that an altered length can't pass
// for a torn tail.
struct Frame {
  SegmentKind kind = SegmentKind::kEvents;
  std::uint32_t block_bytes = 0;
  std::uint32_t raw_bytes = 0;
  std::uint64_t start_ms = 0;
};

std::array<std::uint8_t, kFrameBytes> encode_frame(const Frame& frame, const Sum& before);
// None when the check fails or a field is out of bounds.
std::optional<Frame> decode_frame(BytesView bytes, const Sum& before);

// What stands behind a block: its tag, then its sum, which covers the tag as well.
struct Trailer {
  Tag tag{};
  Sum sum{};
};
Trailer get_trailer(BytesView bytes);  // of kTrailerBytes

void put_u32(Bytes& out, std::uint32_t value);
void put_u64(Bytes& out, std::uint64_t value);
std::uint64_t get_u64(BytesView bytes);  // of 8 bytes
std::uint32_t get_u32(BytesView bytes);  // of 4 bytes
void put_varint(Bytes& out, std::uint64_t value);

// Takes values off the front of a block; every one fails softly at its end.
class Cursor {
 public:
  explicit Cursor(BytesView bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  std::optional<std::uint8_t> byte();
  std::optional<std::uint64_t> varint();
  std::optional<BytesView> bytes(std::uint64_t count);

 private:
  BytesView rest_;
};

// What stands before an event's data.
struct DataHead {
  std::array<std::uint8_t, 24> bytes{};
  std::size_t size = 0;
  operator BytesView() const { return BytesView(bytes).first(size); }
};
DataHead data_head(EventKind kind, std::uint64_t delta_ms, std::size_t data_bytes);
// The same in as many bytes for every event, for data that is in its place before its head is known.
inline constexpr std::size_t kFixedHeadBytes = 10;
inline constexpr std::size_t kMaxFixedHeadData = std::size_t{1} << 21;  // less than this
std::array<std::uint8_t, kFixedHeadBytes> fixed_data_head(EventKind kind, std::uint64_t delta_ms,
                                                          std::size_t data_bytes);
void put_resize(Bytes& out, std::uint64_t delta_ms, std::uint16_t columns, std::uint16_t rows);
void put_end(Bytes& out, std::uint64_t delta_ms, const SessionEnd& end);
// The next event; `at_ms` is the time of the one before and becomes that of this one. None: malformed.
std::optional<Event> get_event(Cursor& cursor, std::uint64_t& at_ms);

// A segment of the index: every so often a segment's time and its place in the file.
struct IndexEntry {
  std::uint64_t start_ms = 0;
  std::uint64_t offset = 0;
  std::uint64_t number = 0;  // of the segment; the header is number 0
};

// The zstd frame of the bytes, behind `room_before` bytes that are the caller's to fill.
Bytes compress(BytesView raw, std::size_t room_before = 0);
// What stands before bytes that do not compress to make them one zstd frame (RFC 8878 §3.1.1, one raw block): for at
// most kMaxStoredBytes.
inline constexpr std::size_t kMaxStoredBytes = 128 * 1024;
inline constexpr std::size_t kStoredHeaderBytes = 12;
std::array<std::uint8_t, kStoredHeaderBytes> stored_frame_header(std::size_t raw_bytes);
// Fills the bytes (kMinPaddingBytes and more) with what decompresses to nothing: a skippable frame (RFC 8878 §3.1.2).
inline constexpr std::size_t kMinPaddingBytes = 8;
void put_padding(std::span<std::uint8_t> out);
// Into exactly raw_bytes; false when the block is malformed or of another size.
bool decompress(BytesView block, Bytes& raw);

}  // namespace mezite::recording::wire
