#include "recording/wire.hh"

#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace mezite::recording::wire {
namespace {

constexpr std::size_t kFieldBytes = 20;
constexpr int kCompressionLevel = 1;

void write_u64(std::uint8_t* out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
}
std::uint64_t read_u64(BytesView bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::array<std::uint8_t, kFrameBytes - kFieldBytes> check_of(BytesView fields, const Sum& before) {
  std::array<std::uint8_t, sizeof(Sum) + kFieldBytes> input;
  std::ranges::copy(before, input.begin());
  std::ranges::copy(fields, input.begin() + sizeof(Sum));
  return short_sum_of(input);
}

}  // namespace

void put_u32(Bytes& out, std::uint32_t value) {
  std::uint8_t bytes[4];
  write_u64(bytes, value, 4);
  out.insert(out.end(), bytes, bytes + 4);
}
void put_u64(Bytes& out, std::uint64_t value) {
  std::uint8_t bytes[8];
  write_u64(bytes, value, 8);
  out.insert(out.end(), bytes, bytes + 8);
}
std::uint64_t get_u64(BytesView bytes) { return read_u64(bytes.first(8)); }
std::uint32_t get_u32(BytesView bytes) { return static_cast<std::uint32_t>(read_u64(bytes.first(4))); }

void put_varint(Bytes& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

std::array<std::uint8_t, kFrameBytes> encode_frame(const Frame& frame, const Sum& before) {
  std::array<std::uint8_t, kFrameBytes> bytes{};
  bytes[0] = static_cast<std::uint8_t>(frame.kind);
  write_u64(&bytes[4], frame.block_bytes, 4);
  write_u64(&bytes[8], frame.raw_bytes, 4);
  write_u64(&bytes[12], frame.start_ms, 8);
  const auto check = check_of(std::span(bytes).first(kFieldBytes), before);
  std::copy_n(check.begin(), kFrameBytes - kFieldBytes, bytes.begin() + kFieldBytes);
  return bytes;
}

std::optional<Frame> decode_frame(BytesView bytes, const Sum& before) {
  if (bytes.size() != kFrameBytes) return std::nullopt;
  const auto check = check_of(bytes.first(kFieldBytes), before);
  if (!std::equal(bytes.begin() + kFieldBytes, bytes.end(), check.begin())) return std::nullopt;
  if (bytes[0] < 1 || bytes[0] > 3 || bytes[1] != 0 || bytes[2] != 0 || bytes[3] != 0) return std::nullopt;
  const Frame frame{.kind = static_cast<SegmentKind>(bytes[0]),
                    .block_bytes = get_u32(bytes.subspan(4)),
                    .raw_bytes = get_u32(bytes.subspan(8)),
                    .start_ms = get_u64(bytes.subspan(12))};
  if (frame.block_bytes == 0 || frame.block_bytes > kMaxBlockBytes || frame.raw_bytes == 0 ||
      frame.raw_bytes > kMaxBlockBytes || frame.start_ms > kMaxTimeMs) {
    return std::nullopt;
  }
  return frame;
}

Trailer get_trailer(BytesView bytes) {
  Trailer trailer;
  std::copy_n(bytes.begin(), trailer.tag.size(), trailer.tag.begin());
  std::copy_n(bytes.begin() + trailer.tag.size(), trailer.sum.size(), trailer.sum.begin());
  return trailer;
}

std::optional<std::uint8_t> Cursor::byte() {
  if (rest_.empty()) return std::nullopt;
  const std::uint8_t value = rest_.front();
  rest_ = rest_.subspan(1);
  return value;
}

std::optional<std::uint64_t> Cursor::varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    const auto next = byte();
    if (!next) return std::nullopt;
    value |= static_cast<std::uint64_t>(*next & 0x7f) << shift;
    if ((*next & 0x80) == 0) return value;
  }
  return std::nullopt;
}

std::optional<BytesView> Cursor::bytes(std::uint64_t count) {
  if (count > rest_.size()) return std::nullopt;
  const BytesView taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

DataHead data_head(EventKind kind, std::uint64_t delta_ms, std::size_t data_bytes) {
  DataHead head;
  head.bytes[head.size++] = static_cast<std::uint8_t>(kind);
  for (std::uint64_t value : {delta_ms, static_cast<std::uint64_t>(data_bytes)}) {
    for (; value >= 0x80; value >>= 7) head.bytes[head.size++] = static_cast<std::uint8_t>(value | 0x80);
    head.bytes[head.size++] = static_cast<std::uint8_t>(value);
  }
  return head;
}

std::array<std::uint8_t, kFixedHeadBytes> fixed_data_head(EventKind kind, std::uint64_t delta_ms,
                                                          std::size_t data_bytes) {
  static_assert(kMaxTimeMs < std::uint64_t{1} << (6 * 7));
  std::array<std::uint8_t, kFixedHeadBytes> head{static_cast<std::uint8_t>(kind)};
  std::size_t at = 1;
  const auto put = [&](std::uint64_t value, std::size_t bytes) {
    for (; bytes > 1; --bytes, value >>= 7) head[at++] = static_cast<std::uint8_t>(value | 0x80);
    head[at++] = static_cast<std::uint8_t>(value);
  };
  put(delta_ms, 6);
  put(data_bytes, 3);
  return head;
}

void put_resize(Bytes& out, std::uint64_t delta_ms, std::uint16_t columns, std::uint16_t rows) {
  out.push_back(static_cast<std::uint8_t>(EventKind::kResize));
  put_varint(out, delta_ms);
  put_varint(out, columns);
  put_varint(out, rows);
}

void put_end(Bytes& out, std::uint64_t delta_ms, const SessionEnd& end) {
  out.push_back(static_cast<std::uint8_t>(EventKind::kEnd));
  put_varint(out, delta_ms);
  out.push_back(end.exit_code ? 1 : 0);
  if (end.exit_code) put_u32(out, static_cast<std::uint32_t>(*end.exit_code));
  const BytesView signal = as_bytes(end.signal).first(std::min<std::size_t>(end.signal.size(), 32));
  put_varint(out, signal.size());
  out.insert(out.end(), signal.begin(), signal.end());
}

std::optional<Event> get_event(Cursor& cursor, std::uint64_t& at_ms) {
  const auto kind = cursor.byte();
  const auto delta = cursor.varint();
  if (!kind || !delta || *delta > kMaxTimeMs || at_ms + *delta > kMaxTimeMs) return std::nullopt;
  at_ms += *delta;
  Event event{.at = std::chrono::milliseconds(at_ms), .kind = static_cast<EventKind>(*kind)};
  switch (event.kind) {
    case EventKind::kOutput:
    case EventKind::kInput:
    case EventKind::kStdout:
    case EventKind::kStderr:
    case EventKind::kStdin: {
      const auto size = cursor.varint();
      if (!size) return std::nullopt;
      const auto data = cursor.bytes(*size);
      if (!data) return std::nullopt;
      event.data = to_bytes(*data);
      return event;
    }
    case EventKind::kResize: {
      const auto columns = cursor.varint();
      const auto rows = cursor.varint();
      if (!columns || !rows || *columns > 0xffff || *rows > 0xffff) return std::nullopt;
      event.columns = static_cast<std::uint16_t>(*columns);
      event.rows = static_cast<std::uint16_t>(*rows);
      return event;
    }
    case EventKind::kEnd: {
      const auto has_code = cursor.byte();
      if (!has_code || *has_code > 1) return std::nullopt;
      if (*has_code == 1) {
        const auto code = cursor.bytes(4);
        if (!code) return std::nullopt;
        event.end.exit_code = static_cast<std::int32_t>(get_u32(*code));
      }
      const auto size = cursor.varint();
      if (!size || *size > 32) return std::nullopt;
      const auto signal = cursor.bytes(*size);
      if (!signal) return std::nullopt;
      event.end.signal = to_text(*signal);
      return event;
    }
  }
  return std::nullopt;
}

Bytes compress(BytesView raw, std::size_t room_before) {
  // One context a thread: a session of its own would hold hundreds of kilobytes for each.
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  Bytes block(room_before + ZSTD_compressBound(raw.size()));
  const std::size_t size = ZSTD_compressCCtx(context.get(), block.data() + room_before, block.size() - room_before,
                                             raw.data(), raw.size(), kCompressionLevel);
  if (ZSTD_isError(size)) std::abort();  // out of memory only: the buffer is of the bound's size
  block.resize(room_before + size);
  return block;
}

std::array<std::uint8_t, kStoredHeaderBytes> stored_frame_header(std::size_t raw_bytes) {
  const auto size = static_cast<std::uint32_t>(raw_bytes);
  const auto byte = [](std::uint32_t value, int place) { return static_cast<std::uint8_t>(value >> (8 * place)); };
  const std::uint32_t block = size << 3 | 1;                  // the last block, type raw
  return {0x28,          0xb5,          0x2f,          0xfd,  // magic
          0xa0,                                               // a single segment, with four bytes of content size
          byte(size, 0), byte(size, 1), byte(size, 2), byte(size, 3), byte(block, 0), byte(block, 1), byte(block, 2)};
}

void put_padding(std::span<std::uint8_t> out) {
  const auto size = static_cast<std::uint32_t>(out.size() - kMinPaddingBytes);
  const auto byte = [size](int place) { return static_cast<std::uint8_t>(size >> (8 * place)); };
  const std::array<std::uint8_t, kMinPaddingBytes> header{0x50, 0x2a, 0x4d, 0x18, byte(0), byte(1), byte(2), byte(3)};
  std::ranges::fill(out, 0);
  std::ranges::copy(header, out.begin());
}

bool decompress(BytesView block, Bytes& raw) {
  const std::size_t size = ZSTD_decompress(raw.data(), raw.size(), block.data(), block.size());
  return !ZSTD_isError(size) && size == raw.size();
}

}  // namespace mezite::recording::wire
