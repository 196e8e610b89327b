#include "recording/writer.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "base/file.hh"
#include "base/log.hh"
#include "base/unique_fd.hh"
#include "crypto/aead.hh"
#include "crypto/random.hh"
#include "recording/wire.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxIndexEntries = 4096;
constexpr std::uint64_t kIndexStepBytes = 256 * 1024;
// A segment of this size that does not compress (a file that is copied) says enough of those after it: so many are
// stored as they are before the next try.
constexpr std::size_t kTellingBytes = 64 * 1024;
constexpr int kStoredInARow = 15;
// Written at once: enough to go to the disk past the kernel's cache.
constexpr std::size_t kBulkBytes = 256 * 1024;
constexpr std::size_t kDirectBytes = 1 << 20;
constexpr std::size_t kPageBytes = 4096;  // what direct writes are aligned to
constexpr std::size_t kMaxPieces = 1024;  // IOV_MAX

// So many bytes (8 and more) that decompress to nothing: a skippable frame (RFC 8878 section 3.1.2).
constexpr std::size_t kSkippableHeaderBytes = 8;
Bytes padding(std::size_t bytes) {
  Bytes frame(bytes);
  const auto size = static_cast<std::uint32_t>(bytes - kSkippableHeaderBytes);
  const auto byte = [size](int place) { return static_cast<std::uint8_t>(size >> (8 * place)); };
  const std::array<std::uint8_t, kSkippableHeaderBytes> header{0x50,    0x2a,    0x4d,    0x18,
                                                               byte(0), byte(1), byte(2), byte(3)};
  std::ranges::copy(header, frame.begin());
  return frame;
}

}  // namespace

struct Writer::State {
  explicit State(SteadyTime now) : events(now) {}

  UniqueFd fd;
  Header header;
  Secret key;  // empty: not encrypted
  int stored_left = 0;
  Sum sum{};                     // of the last segment
  std::optional<TagChain> tags;  // none only while the file is made
  std::uint64_t size = 0;        // of whole segments in the file
  std::uint64_t last_ms = 0;
  EventBuffer events;
  Bytes spare;  // memory for the events to come
  std::vector<wire::IndexEntry> index;
  std::uint64_t index_step = kIndexStepBytes;
  bool dirty = false;  // written, not yet synced
  bool can_direct = true;
  bool direct = false;  // O_DIRECT is set
  std::optional<Error> error;

  // A segment on its way to the file.
  struct Staged {
    std::array<std::uint8_t, wire::kFrameBytes> frame;
    std::array<std::uint8_t, 12> stored_header;
    Bytes block;  // made for this segment
    Bytes padding;
    std::array<BytesView, 3> parts;  // the block: of the above, or of what the caller holds
    std::array<std::uint8_t, wire::kTrailerBytes> trailer;

    std::size_t block_size() const { return parts[0].size() + parts[1].size() + parts[2].size(); }
    std::size_t size() const { return frame.size() + block_size() + trailer.size(); }
  };
  std::deque<Staged> staged;  // in a container that never moves them
  std::uint64_t staged_bytes = 0;

  Staged& stage() { return staged.emplace_back(); }

  // Frame, seal, tag and sum for the block that `segment.parts` has.
  Status seal_segment(Staged& segment, wire::SegmentKind kind, std::uint64_t start_ms, std::size_t raw_bytes) {
    const std::size_t plain_bytes = segment.block_size();
    const bool seal = kind == wire::SegmentKind::kEvents && !key.empty();
    const wire::Frame frame{.kind = kind,
                            .block_bytes = static_cast<std::uint32_t>(plain_bytes + (seal ? wire::kSealBytes : 0)),
                            .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
                            .start_ms = start_ms};
    segment.frame = wire::encode_frame(frame, sum);
    if (seal) {
      Bytes plain;
      plain.reserve(plain_bytes);
      for (const BytesView part : segment.parts) plain.insert(plain.end(), part.begin(), part.end());
      // The frame's check holds the sum before it: a block opens in its own place only.
      MEZ_TRY(segment.block, crypto::aead_seal(key.view(), plain, segment.frame));
      segment.parts = {segment.block, {}, {}};
    }
    const auto& [first, second, third] = segment.parts;
    const Tag tag = tags->next(std::array<BytesView, 4>{segment.frame, first, second, third});
    sum = sum_of(std::array<BytesView, 6>{sum, segment.frame, first, second, third, tag});
    std::ranges::copy(sum, std::ranges::copy(tag, segment.trailer.begin()).out);
    staged_bytes += segment.size();
    return {};
  }

  // Ends the file at a whole page.
  void pad(Staged& segment) {
    const std::uint64_t end = size + staged_bytes + wire::kFrameBytes + segment.block_size() +
                              (key.empty() ? 0 : wire::kSealBytes) + wire::kTrailerBytes;
    auto missing = static_cast<std::size_t>((kPageBytes - end % kPageBytes) % kPageBytes);
    if (missing > 0 && missing < kSkippableHeaderBytes) missing += kPageBytes;
    if (missing == 0) return;
    segment.padding = padding(missing);
    segment.parts[2] = segment.padding;
  }

  // Compresses, unless what came before did not. The last one of many that goes past the cache is padded.
  Status stage_events(const Segment& events_of, bool last_of_bulk) {
    const Bytes& raw = events_of.raw;
    note_in_index(events_of.start_ms);
    last_ms = std::max(last_ms, events_of.end_ms);
    Staged& segment = stage();
    if (stored_left > 0) {
      --stored_left;
      segment.stored_header = wire::stored_frame_header(raw.size());
      segment.parts = {segment.stored_header, raw, {}};
    } else {
      segment.block = wire::compress(raw);
      segment.parts = {segment.block, {}, {}};
      if (raw.size() >= kTellingBytes && segment.block.size() > raw.size() / 16 * 15) stored_left = kStoredInARow;
    }
    if (last_of_bulk && staged_bytes + segment.block_size() >= kBulkBytes) pad(segment);
    return seal_segment(segment, wire::SegmentKind::kEvents, events_of.start_ms, raw.size());
  }

  Status stage_block(wire::SegmentKind kind, Bytes block, std::size_t raw_bytes) {
    Staged& segment = stage();
    segment.block = std::move(block);
    segment.parts = {segment.block, {}, {}};
    return seal_segment(segment, kind, last_ms, raw_bytes);
  }

  // Writes what is staged.
  Status commit() {
    std::vector<iovec> pieces;
    pieces.reserve(staged.size() * 5);
    const auto add = [&](BytesView piece) {
      if (!piece.empty()) pieces.push_back({const_cast<std::uint8_t*>(piece.data()), piece.size()});
    };
    for (const Staged& segment : staged) {
      add(segment.frame);
      for (const BytesView part : segment.parts) add(part);
      add(segment.trailer);
    }
    const bool aligned = size % kPageBytes == 0 && staged_bytes % kPageBytes == 0;
    const bool past_cache = staged_bytes >= kBulkBytes && aligned && set_direct(true);
    std::uint64_t written = 0;
    Status status = past_cache ? write_direct(pieces, written) : write_pieces(pieces, written);
    if (!status) {
      // Leave whole segments only: the one that a full disk took a part of is cut off again.
      for (const Staged& segment : staged) {
        if (segment.size() > written) break;
        written -= segment.size();
        size += segment.size();
      }
      if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
        log::warn("a recording could not be cut to whole segments", {{"session", header.session_id}});
      }
      return give_up(wrap(status.error(), "writing the recording").error());
    }
    size += staged_bytes;
    dirty = true;
    staged_bytes = 0;
    staged.clear();
    return {};
  }

  Status give_up(const Error& why) {
    error = why;
    staged.clear();
    return std::unexpected(why);
  }

  // `written` grows by what was written, from the end of the file on.
  Status write_pieces(std::span<iovec> pieces, std::uint64_t& written) {
    set_direct(false);
    while (!pieces.empty()) {
      const auto count = static_cast<int>(std::min(pieces.size(), kMaxPieces));
      const ssize_t result = ::pwritev(fd.get(), pieces.data(), count, static_cast<off_t>(size + written));
      if (result < 0 && errno == EINTR) continue;
      if (result < 0) return fail_errno(errno, "write");
      auto gone = static_cast<std::size_t>(result);
      written += gone;
      while (!pieces.empty() && gone >= pieces.front().iov_len) {
        gone -= pieces.front().iov_len;
        pieces = pieces.subspan(1);
      }
      if (pieces.empty()) break;
      pieces.front().iov_base = static_cast<std::uint8_t*>(pieces.front().iov_base) + gone;
      pieces.front().iov_len -= gone;
    }
    return {};
  }

  bool set_direct(bool on) {
    if (on && !can_direct) return false;
    if (on == direct) return true;
    const int flags = ::fcntl(fd.get(), F_GETFL);
    const bool done = flags >= 0 && ::fcntl(fd.get(), F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
    if (done) direct = on;
    if (!done && on) can_direct = false;  // this file system can't
    return done;
  }

  // The same by way of memory that is aligned; all sizes and places are of whole pages.
  Status write_direct(std::span<const iovec> pieces, std::uint64_t& written) {
    struct Free {
      void operator()(std::uint8_t* memory) const { std::free(memory); }
    };
    thread_local const std::unique_ptr<std::uint8_t, Free> buffer(
        static_cast<std::uint8_t*>(std::aligned_alloc(kPageBytes, kDirectBytes)));
    if (!buffer) return fail(ErrorCode::kResourceExhausted, "no memory for a write of {} bytes", kDirectBytes);
    std::size_t filled = 0;
    for (const iovec& piece : pieces) {
      BytesView rest(static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len);
      while (!rest.empty()) {
        const BytesView part = rest.first(std::min(rest.size(), kDirectBytes - filled));
        std::memcpy(buffer.get() + filled, part.data(), part.size());
        rest = rest.subspan(part.size());
        filled += part.size();
        if (filled == kDirectBytes) MEZ_CHECK(write_buffer({buffer.get(), std::exchange(filled, 0)}, written));
      }
    }
    return write_buffer({buffer.get(), filled}, written);
  }

  Status write_buffer(BytesView bytes, std::uint64_t& written) {
    while (!bytes.empty()) {
      const ssize_t result = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(size + written));
      if (result < 0 && errno == EINTR) continue;
      // Another alignment is wanted, or what is left of a short write has none: by way of the cache, then.
      if (result < 0 && errno == EINVAL && direct && set_direct(false)) {
        can_direct = false;
        continue;
      }
      if (result < 0) return fail_errno(errno, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(result));
      written += static_cast<std::size_t>(result);
    }
    return {};
  }

  void note_in_index(std::uint64_t start_ms) {
    const std::uint64_t offset = size + staged_bytes;
    if (!index.empty() && offset < index.back().offset + index_step) return;
    if (index.size() == kMaxIndexEntries) {  // every other one goes, and they come half as often
      std::size_t kept = 0;
      for (std::size_t i = 0; i < index.size(); i += 2) index[kept++] = index[i];
      index.resize(kept);
      index_step *= 2;
    }
    index.push_back({start_ms, offset, tags->number()});
  }
};

Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Writer::Writer(Writer&&) noexcept = default;
Writer& Writer::operator=(Writer&&) noexcept = default;
Writer::~Writer() = default;

Result<Writer> Writer::create(const std::filesystem::path& path, const Header& header, SteadyTime now,
                              std::span<const Recipient> recipients) {
  if (!is_session_id(header.session_id)) {
    return fail(ErrorCode::kInvalidArgument, "a recording needs a session id (a UUID in lower case)");
  }
  auto state = std::make_unique<State>(now);
  state->header = header;
  state->header.keys.clear();
  if (!recipients.empty()) {
    state->key = crypto::random_secret(crypto::kAeadKeySize);
    MEZ_TRY(state->header.keys, seal_key(state->key, recipients, header.session_id));
  }
  Secret chain_key = crypto::random_secret(kChainKeyBytes);
  auto sealed = seal_chain_key(chain_key, header.chain_key.recipient, header.session_id);
  if (!sealed) return fail(ErrorCode::kInvalidArgument, "a recording needs the hub's recording key");
  state->header.chain_key = std::move(*sealed);
  const std::string json = header_to_json(state->header);
  if (json.size() > kMaxHeaderBytes * 4) return fail(ErrorCode::kInvalidArgument, "the recording's header is too long");
  state->fd.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!state->fd) return fail_errno(errno, fmt::format("making the recording {}", path.native()));
  Bytes preamble = to_bytes(wire::kMagic);
  wire::put_u32(preamble, static_cast<std::uint32_t>(json.size()));
  preamble.insert(preamble.end(), json.begin(), json.end());
  state->tags.emplace(std::move(chain_key));
  const Tag tag = state->tags->next(std::array<BytesView, 1>{preamble});
  preamble.insert(preamble.end(), tag.begin(), tag.end());
  state->sum = sum_of(std::array<BytesView, 1>{preamble});
  preamble.insert(preamble.end(), state->sum.begin(), state->sum.end());
  if (auto status = write_all(state->fd.get(), preamble); !status) {
    ::unlink(path.c_str());
    return wrap(status.error(), "writing the recording");
  }
  state->size = preamble.size();
  state->dirty = true;
  return Writer(std::move(state));
}

Status Writer::write(EventKind kind, BytesView data, SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  while (!data.empty()) {
    data = state_->events.put(kind, data, now);
    if (state_->events.full()) MEZ_CHECK(flush());
  }
  return {};
}

Status Writer::resize(std::uint16_t columns, std::uint16_t rows, SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  state_->events.put_resize(columns, rows, now);
  return state_->events.full() ? flush() : Status{};
}

Status Writer::append(std::span<const Segment> segments, Cache cache) {
  if (state_->error) return std::unexpected(*state_->error);
  if (segments.empty()) return {};
  for (const Segment& segment : segments) {
    const bool last_of_bulk = cache == Cache::kPassed && state_->can_direct && &segment == &segments.back();
    if (auto status = state_->stage_events(segment, last_of_bulk); !status) return state_->give_up(status.error());
  }
  return state_->commit();
}

Status Writer::flush_due(SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  return now >= next_flush() ? flush() : Status{};
}

Status Writer::flush() {
  if (state_->error) return std::unexpected(*state_->error);
  if (state_->events.empty()) return {};
  Segment segment = state_->events.take(std::move(state_->spare));
  auto status = append({&segment, 1});
  state_->spare = std::move(segment.raw);
  return status;
}

SteadyTime Writer::next_flush() const { return state_->events.due(); }

Status Writer::sync() {
  if (!state_->dirty) return {};
  if (::fdatasync(state_->fd.get()) != 0) {
    // What the kernel could not write it may have dropped: never take a later success for it.
    state_->error = fail_errno(errno, "syncing the recording").error();
    return std::unexpected(*state_->error);
  }
  state_->dirty = false;
  return {};
}

Status Writer::finish(const SessionEnd& end, SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  state_->events.put_end(end, now);
  MEZ_CHECK(flush());
  return finish();
}

Status Writer::finish() {
  if (state_->error) return std::unexpected(*state_->error);
  Bytes index;
  wire::IndexEntry last;
  for (const wire::IndexEntry& entry : state_->index) {
    wire::put_varint(index, entry.start_ms - last.start_ms);
    wire::put_varint(index, entry.offset - last.offset);
    wire::put_varint(index, entry.number - last.number);
    last = entry;
  }
  Bytes footer;
  wire::put_u64(footer, state_->size);
  wire::put_u64(footer, state_->tags->number());
  MEZ_CHECK(state_->stage_block(wire::SegmentKind::kIndex, wire::compress(index), index.size()));
  MEZ_CHECK(state_->stage_block(wire::SegmentKind::kFooter, std::move(footer), wire::kFooterBlockBytes));
  MEZ_CHECK(state_->commit());
  return sync();
}

int Writer::fd() const { return state_->fd.get(); }
bool Writer::needs_sync() const { return state_->dirty && !state_->error; }
void Writer::note_synced(std::uint64_t size_bytes) {
  if (size_bytes == state_->size) state_->dirty = false;
}
void Writer::note_sync_error(const Error& error) {
  if (!state_->error) state_->error = error;
}

std::uint64_t Writer::size_bytes() const { return state_->size; }
const Header& Writer::header() const { return state_->header; }

}  // namespace mezite::recording
