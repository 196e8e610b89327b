#include "recording/writer.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/file.hh"
#include "base/log.hh"
#include "base/unique_fd.hh"
#include "crypto/aead.hh"
#include "crypto/random.hh"
#include "recording/direct_io.hh"
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
constexpr std::size_t kMaxPieces = 1024;  // IOV_MAX

bool is_whole_pages(BytesView bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes.data()) % kPageBytes == 0 && bytes.size() % kPageBytes == 0;
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
  SegmentBytes spare;  // memory for the events to come
  std::vector<wire::IndexEntry> index;
  std::uint64_t index_step = kIndexStepBytes;
  bool dirty = false;  // written, not yet synced
  DirectIo direct;
  std::optional<Error> error;

  // Segments on their way to the file, each in one piece: in memory of the caller, or in what was made for it.
  struct Staged {
    BytesView bytes;
    Bytes made;
  };
  std::vector<Staged> staged;
  std::uint64_t staged_bytes = 0;

  // A block of `plain_bytes` (whose padding is to be added) would end so many bytes before a page's end.
  std::size_t short_of_page(std::size_t plain_bytes) const {
    const std::uint64_t end = size + staged_bytes + wire::kFrameBytes + plain_bytes +
                              (key.empty() ? 0 : wire::kSealBytes) + wire::kTrailerBytes;
    const auto missing = static_cast<std::size_t>((kPageBytes - end % kPageBytes) % kPageBytes);
    return missing > 0 && missing < wire::kMinPaddingBytes ? missing + kPageBytes : missing;
  }

  // `whole` is a segment in one piece, with its block in place and room around it.
  void put_frame(std::span<std::uint8_t> whole, wire::SegmentKind kind, std::uint64_t start_ms, std::size_t raw_bytes) {
    const std::size_t block_bytes = whole.size() - wire::kFrameBytes - wire::kTrailerBytes;
    const wire::Frame frame{.kind = kind,
                            .block_bytes = static_cast<std::uint32_t>(block_bytes),
                            .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
                            .start_ms = start_ms};
    std::ranges::copy(wire::encode_frame(frame, sum), whole.begin());
  }
  // Puts tag and sum behind, and it is staged.
  void close(std::span<std::uint8_t> whole) {
    const auto tagged = whole.first(whole.size() - wire::kTrailerBytes);
    const TagChain::Ends ends = tags->next_with_sum(sum, tagged);
    sum = ends.sum;
    std::ranges::copy(sum, std::ranges::copy(ends.tag, tagged.end()).out);
    staged.push_back({.bytes = whole});
    staged_bytes += whole.size();
  }

  // The block is behind room for a frame.
  Status stage(wire::SegmentKind kind, Bytes made, std::uint64_t start_ms, std::size_t raw_bytes) {
    if (kind == wire::SegmentKind::kEvents && !key.empty()) {
      return stage_sealed(BytesView(made).subspan(wire::kFrameBytes), start_ms, raw_bytes);
    }
    made.resize(made.size() + wire::kTrailerBytes);
    put_frame(made, kind, start_ms, raw_bytes);
    close(made);
    staged.back().made = std::move(made);
    return {};
  }

  Status stage_sealed(BytesView block, std::uint64_t start_ms, std::size_t raw_bytes) {
    Bytes made(wire::kFrameBytes + block.size() + wire::kSealBytes + wire::kTrailerBytes);
    put_frame(made, wire::SegmentKind::kEvents, start_ms, raw_bytes);
    const auto frame = std::span(made).first(wire::kFrameBytes);
    const auto sealed = std::span(made).subspan(wire::kFrameBytes, block.size() + wire::kSealBytes);
    // The frame's check holds the sum before it: a block opens in its own place only.
    MEZ_CHECK(crypto::aead_seal(key.view(), block, frame, sealed));
    close(made);
    staged.back().made = std::move(made);
    return {};
  }

  // As they came, where they are.
  Status stage_stored(Segment& events_of, bool to_page) {
    SegmentBytes& raw = events_of.raw;
    const auto rest = raw.memory().subspan(wire::kFrameBytes);
    std::ranges::copy(wire::stored_frame_header(raw.size()), rest.begin());
    std::size_t block_bytes = wire::kStoredHeaderBytes + raw.size();
    if (const std::size_t missing = to_page ? short_of_page(block_bytes) : 0; missing > 0) {
      wire::put_padding(rest.subspan(block_bytes, missing));
      block_bytes += missing;
    }
    if (!key.empty()) return stage_sealed(rest.first(block_bytes), events_of.start_ms, raw.size());
    const auto whole = raw.memory().first(wire::kFrameBytes + block_bytes + wire::kTrailerBytes);
    put_frame(whole, wire::SegmentKind::kEvents, events_of.start_ms, raw.size());
    close(whole);
    return {};
  }

  // Compresses, unless what came before did not. What goes past the cache has to end at a page.
  Status stage_events(Segment& events_of, bool bulk, bool last) {
    const BytesView raw = events_of.raw;
    note_in_index(events_of.start_ms);
    last_ms = std::max(last_ms, events_of.end_ms);
    if (stored_left == 0) {
      Bytes made = wire::compress(raw, wire::kFrameBytes);
      if (raw.size() < kTellingBytes || made.size() <= raw.size() / 16 * 15) {
        if (bulk && last && staged_bytes + made.size() >= kBulkBytes) {
          const std::size_t missing = short_of_page(made.size() - wire::kFrameBytes);
          made.resize(made.size() + missing);
          if (missing > 0) wire::put_padding(std::span(made).last(missing));
        }
        return stage(wire::SegmentKind::kEvents, std::move(made), events_of.start_ms, raw.size());
      }
      stored_left = kStoredInARow + 1;
    }
    --stored_left;
    return stage_stored(events_of, bulk);
  }

  Status stage_block(wire::SegmentKind kind, BytesView block, std::size_t raw_bytes) {
    Bytes made(wire::kFrameBytes);
    made.insert(made.end(), block.begin(), block.end());
    return stage(kind, std::move(made), last_ms, raw_bytes);
  }

  // Writes what is staged.
  Status commit() {
    std::vector<iovec> pieces;
    pieces.reserve(staged.size());
    bool in_place = true;
    for (const Staged& segment : staged) {
      pieces.push_back({const_cast<std::uint8_t*>(segment.bytes.data()), segment.bytes.size()});
      in_place = in_place && is_whole_pages(segment.bytes);
    }
    const bool aligned = size % kPageBytes == 0 && staged_bytes % kPageBytes == 0;
    const bool past_cache = direct.set(fd.get(), staged_bytes >= kBulkBytes && aligned);
    std::uint64_t written = 0;
    Status status = past_cache && !in_place ? write_copied(pieces, written) : write_pieces(pieces, written);
    if (!status) {
      // Leave whole segments only: the one that a full disk took a part of is cut off again.
      for (const Staged& segment : staged) {
        if (segment.bytes.size() > written) break;
        written -= segment.bytes.size();
        size += segment.bytes.size();
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
    while (!pieces.empty()) {
      const auto count = static_cast<int>(std::min(pieces.size(), kMaxPieces));
      const ssize_t result = ::pwritev(fd.get(), pieces.data(), count, static_cast<off_t>(size + written));
      if (result < 0 && errno == EINTR) continue;
      // Another alignment is wanted, or what is left of a short write has none: by way of the cache, then.
      if (result < 0 && errno == EINVAL && direct.on()) {
        if (direct.give_up(fd.get())) continue;
        errno = EINVAL;
      }
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

  // The same by way of memory that is aligned; together they are whole pages.
  Status write_copied(std::span<const iovec> pieces, std::uint64_t& written) {
    struct Free {
      void operator()(std::uint8_t* memory) const { std::free(memory); }
    };
    thread_local const std::unique_ptr<std::uint8_t, Free> buffer(
        static_cast<std::uint8_t*>(std::aligned_alloc(kPageBytes, kDirectBytes)));
    if (!buffer) return fail(ErrorCode::kResourceExhausted, "no memory for a write of {} bytes", kDirectBytes);
    iovec filled{buffer.get(), 0};
    const auto write_filled = [&] {
      std::array<iovec, 1> one{std::exchange(filled, {buffer.get(), 0})};
      return write_pieces(one, written);
    };
    for (const iovec& piece : pieces) {
      BytesView rest(static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len);
      while (!rest.empty()) {
        const BytesView part = rest.first(std::min(rest.size(), kDirectBytes - filled.iov_len));
        std::memcpy(buffer.get() + filled.iov_len, part.data(), part.size());
        rest = rest.subspan(part.size());
        filled.iov_len += part.size();
        if (filled.iov_len == kDirectBytes) MEZ_CHECK(write_filled());
      }
    }
    return filled.iov_len > 0 ? write_filled() : Status();
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

Status Writer::append(std::span<Segment> segments, Flow flow) {
  if (state_->error) return std::unexpected(*state_->error);
  if (segments.empty()) return {};
  const bool bulk = flow == Flow::kBulk && state_->direct.possible();
  for (Segment& segment : segments) {
    const bool last = &segment == &segments.back();
    if (auto status = state_->stage_events(segment, bulk, last); !status) return state_->give_up(status.error());
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
  MEZ_CHECK(state_->stage_block(wire::SegmentKind::kFooter, footer, wire::kFooterBlockBytes));
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
