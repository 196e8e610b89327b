#include "recording/writer.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <deque>
#include <optional>

#include "base/file.hh"
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
// Written at once: enough that dropping it from the cache is worth its while.
constexpr std::size_t kBulkBytes = 256 * 1024;
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kMaxPieces = 1024;  // IOV_MAX
#ifndef RWF_DONTCACHE
constexpr int RWF_DONTCACHE = 0x80;  // since Linux 6.14
#endif

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
  bool can_drop = true;
  std::optional<Error> error;

  // A segment on its way to the file.
  struct Staged {
    std::array<std::uint8_t, wire::kFrameBytes> frame;
    std::array<std::uint8_t, 12> stored_header;
    Bytes block;                     // made for this segment
    std::array<BytesView, 2> parts;  // the block: of `block`, or of what the caller holds
    std::array<std::uint8_t, wire::kTrailerBytes> trailer;

    std::size_t size() const { return frame.size() + parts[0].size() + parts[1].size() + trailer.size(); }
  };
  std::deque<Staged> staged;  // in a container that never moves them
  std::uint64_t staged_bytes = 0;

  Staged& stage() { return staged.emplace_back(); }

  // Frame, seal, tag and sum for the block that `segment.parts` has.
  Status seal_segment(Staged& segment, wire::SegmentKind kind, std::uint64_t start_ms, std::size_t raw_bytes) {
    const std::size_t plain_bytes = segment.parts[0].size() + segment.parts[1].size();
    const bool seal = kind == wire::SegmentKind::kEvents && !key.empty();
    const wire::Frame frame{.kind = kind,
                            .block_bytes = static_cast<std::uint32_t>(plain_bytes + (seal ? wire::kSealBytes : 0)),
                            .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
                            .start_ms = start_ms};
    segment.frame = wire::encode_frame(frame, sum);
    if (seal) {
      Bytes plain = to_bytes(segment.parts[0]);
      plain.insert(plain.end(), segment.parts[1].begin(), segment.parts[1].end());
      // The frame's check holds the sum before it: a block opens in its own place only.
      MEZ_TRY(segment.block, crypto::aead_seal(key.view(), plain, segment.frame));
      segment.parts = {segment.block, {}};
    }
    const auto& [first, second] = segment.parts;
    const Tag tag = tags->next(std::array<BytesView, 3>{segment.frame, first, second});
    sum = sum_of(std::array<BytesView, 5>{sum, segment.frame, first, second, tag});
    std::ranges::copy(sum, std::ranges::copy(tag, segment.trailer.begin()).out);
    staged_bytes += segment.size();
    return {};
  }

  // Compresses, unless what came before did not.
  Status stage_events(const Segment& events_of) {
    const Bytes& raw = events_of.raw;
    note_in_index(events_of.start_ms);
    last_ms = std::max(last_ms, events_of.end_ms);
    Staged& segment = stage();
    if (stored_left > 0) {
      --stored_left;
      segment.stored_header = wire::stored_frame_header(raw.size());
      segment.parts = {segment.stored_header, raw};
    } else {
      segment.block = wire::compress(raw);
      segment.parts = {segment.block, {}};
      if (raw.size() >= kTellingBytes && segment.block.size() > raw.size() / 16 * 15) stored_left = kStoredInARow;
    }
    return seal_segment(segment, wire::SegmentKind::kEvents, events_of.start_ms, raw.size());
  }

  Status stage_block(wire::SegmentKind kind, Bytes block, std::size_t raw_bytes) {
    Staged& segment = stage();
    segment.block = std::move(block);
    segment.parts = {segment.block, {}};
    return seal_segment(segment, kind, last_ms, raw_bytes);
  }

  // Writes what is staged.
  Status commit(Cache cache) {
    std::vector<iovec> pieces;
    pieces.reserve(staged.size() * 4);
    for (const Staged& segment : staged) {
      for (const BytesView piece :
           {BytesView(segment.frame), segment.parts[0], segment.parts[1], BytesView(segment.trailer)}) {
        if (!piece.empty()) pieces.push_back({const_cast<std::uint8_t*>(piece.data()), piece.size()});
      }
    }
    // The last page is kept: the next bytes go there, and would have to read it again.
    const std::uint64_t whole_pages = (size + staged_bytes) / kPageBytes * kPageBytes;
    const bool drop = cache == Cache::kDropped && can_drop && staged_bytes >= kBulkBytes;
    std::span<iovec> rest = pieces;
    std::uint64_t written = 0;
    Status status;
    if (drop) status = write_pieces(rest, whole_pages - size, RWF_DONTCACHE, written);
    if (status) status = write_pieces(rest, staged_bytes - written, 0, written);
    if (!status) {
      // Leave whole segments only: the one that a full disk took a part of is cut off again.
      for (const Staged& segment : staged) {
        if (segment.size() > written) break;
        written -= segment.size();
        size += segment.size();
      }
      if (::ftruncate(fd.get(), static_cast<off_t>(size)) == 0) ::lseek(fd.get(), static_cast<off_t>(size), SEEK_SET);
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

  // Writes so many bytes of the pieces and takes them off; `written` grows by what was.
  Status write_pieces(std::span<iovec>& pieces, std::uint64_t bytes, int flags, std::uint64_t& written) {
    while (bytes > 0) {
      std::size_t count = 0;
      std::uint64_t chosen = 0;
      while (chosen < bytes && count < std::min(pieces.size(), kMaxPieces)) chosen += pieces[count++].iov_len;
      // The last one may be wanted in part.
      const std::size_t over = chosen > bytes ? static_cast<std::size_t>(chosen - bytes) : 0;
      pieces[count - 1].iov_len -= over;
      const ssize_t result = ::pwritev2(fd.get(), pieces.data(), static_cast<int>(count), -1, flags);
      const int problem = errno;
      pieces[count - 1].iov_len += over;
      if (result < 0 && problem == EINTR) continue;
      if (result < 0 && flags != 0 && (problem == EOPNOTSUPP || problem == ENOSYS || problem == EINVAL)) {
        can_drop = false;
        flags = 0;
        continue;
      }
      if (result < 0) return fail_errno(problem, "write");
      auto gone = static_cast<std::size_t>(result);
      bytes -= gone;
      written += gone;
      while (gone > 0 && gone >= pieces.front().iov_len) {
        gone -= pieces.front().iov_len;
        pieces = pieces.subspan(1);
      }
      if (gone == 0) continue;
      pieces.front().iov_base = static_cast<std::uint8_t*>(pieces.front().iov_base) + gone;
      pieces.front().iov_len -= gone;
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
    if (auto status = state_->stage_events(segment); !status) return state_->give_up(status.error());
  }
  return state_->commit(cache);
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
  MEZ_CHECK(state_->commit(Cache::kKept));
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
