#include "recording/writer.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
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
// After a segment that does not compress (a file that is copied), so many are stored as they are before the next try.
constexpr int kStoredInARow = 31;

}  // namespace

struct Writer::State {
  UniqueFd fd;
  Header header;
  Secret key;  // empty: not encrypted
  crypto::Hasher hasher{crypto::HashAlgorithm::kSha256};
  int stored_left = 0;
  SteadyTime started;
  wire::Chain chain{};
  std::uint64_t size = 0;  // of whole segments in the file
  std::uint64_t last_ms = 0;
  std::uint64_t segment_start_ms = 0;
  std::optional<SteadyTime> waiting_since;  // of the oldest event in raw
  Bytes raw;
  std::vector<wire::IndexEntry> index;
  std::uint64_t index_step = kIndexStepBytes;
  bool dirty = false;  // written, not yet synced
  std::optional<Error> error;

  // Begins an event: gives its time since the one before it in the segment.
  std::uint64_t advance(SteadyTime now) {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - started).count();
    const std::uint64_t at = std::max<std::uint64_t>(last_ms, since > 0 ? static_cast<std::uint64_t>(since) : 0);
    if (raw.empty()) {
      segment_start_ms = at;
      last_ms = at;
      waiting_since = now;
    }
    const std::uint64_t delta = at - last_ms;
    last_ms = at;
    return delta;
  }

  // The block comes in parts, of which some may be empty.
  Status append_segment(wire::SegmentKind kind, std::uint64_t start_ms, std::array<BytesView, 2> parts,
                        std::size_t raw_bytes) {
    const std::size_t plain_bytes = parts[0].size() + parts[1].size();
    const bool seal = kind == wire::SegmentKind::kEvents && !key.empty();
    const wire::Frame frame{.kind = kind,
                            .block_bytes = static_cast<std::uint32_t>(plain_bytes + (seal ? wire::kSealBytes : 0)),
                            .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
                            .start_ms = start_ms};
    const auto frame_bytes = wire::encode_frame(frame, chain);
    Bytes sealed;
    if (seal) {
      Bytes plain = to_bytes(parts[0]);
      plain.insert(plain.end(), parts[1].begin(), parts[1].end());
      // The frame's check holds the chain: a block opens in its own place only.
      MEZ_TRY(sealed, crypto::aead_seal(key.view(), plain, frame_bytes));
      parts = {sealed, {}};
    }
    // The hash covers chain, frame, block, in this order.
    const Bytes hash = hasher.update(chain).update(frame_bytes).update(parts[0]).update(parts[1]).finish();
    std::array<iovec, 4> pieces{};
    const std::array<BytesView, 4> in_order{frame_bytes, parts[0], parts[1], hash};
    std::size_t total = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      pieces[i] = {const_cast<std::uint8_t*>(in_order[i].data()), in_order[i].size()};
      total += in_order[i].size();
    }
    if (auto status = write_pieces(pieces); !status) {
      // Leave whole segments only: what a full disk took half of is cut off again.
      if (::ftruncate(fd.get(), static_cast<off_t>(size)) == 0) ::lseek(fd.get(), static_cast<off_t>(size), SEEK_SET);
      error = wrap(status.error(), "writing the recording").error();
      return std::unexpected(*error);
    }
    std::ranges::copy(hash, chain.begin());
    size += total;
    dirty = true;
    return {};
  }

  Status write_pieces(std::span<iovec> pieces) {
    while (!pieces.empty()) {
      const ssize_t count = ::writev(fd.get(), pieces.data(), static_cast<int>(pieces.size()));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno(errno, "write");
      auto written = static_cast<std::size_t>(count);
      while (!pieces.empty() && written >= pieces.front().iov_len) {
        written -= pieces.front().iov_len;
        pieces = pieces.subspan(1);
      }
      if (pieces.empty()) break;
      pieces.front().iov_base = static_cast<std::uint8_t*>(pieces.front().iov_base) + written;
      pieces.front().iov_len -= written;
    }
    return {};
  }

  // Compresses, unless what came before did not and this can be stored as it is.
  Status append_events() {
    if (stored_left > 0 && raw.size() <= wire::kMaxStoredBytes) {
      --stored_left;
      const auto header_bytes = wire::stored_frame_header(raw.size());
      return append_segment(wire::SegmentKind::kEvents, segment_start_ms, {header_bytes, raw}, raw.size());
    }
    const Bytes block = wire::compress(raw);
    if (raw.size() >= kSegmentBytes && block.size() > raw.size() / 16 * 15) stored_left = kStoredInARow;
    return append_segment(wire::SegmentKind::kEvents, segment_start_ms, {block, {}}, raw.size());
  }

  void note_in_index() {
    if (!index.empty() && size < index.back().offset + index_step) return;
    if (index.size() == kMaxIndexEntries) {  // every other one goes, and they come half as often
      std::size_t kept = 0;
      for (std::size_t i = 0; i < index.size(); i += 2) index[kept++] = index[i];
      index.resize(kept);
      index_step *= 2;
    }
    index.push_back({segment_start_ms, size});
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
  auto state = std::make_unique<State>();
  state->header = header;
  state->header.keys.clear();
  if (!recipients.empty()) {
    state->key = crypto::random_secret(crypto::kAeadKeySize);
    MEZ_TRY(state->header.keys, seal_key(state->key, recipients, header.session_id));
  }
  const std::string json = header_to_json(state->header);
  if (json.size() > kMaxHeaderBytes * 4) return fail(ErrorCode::kInvalidArgument, "the recording's header is too long");
  state->fd.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!state->fd) return fail_errno(errno, fmt::format("making the recording {}", path.native()));
  state->started = now;
  Bytes preamble = to_bytes(wire::kMagic);
  wire::put_u32(preamble, static_cast<std::uint32_t>(json.size()));
  preamble.insert(preamble.end(), json.begin(), json.end());
  state->chain = crypto::sha256(preamble);
  preamble.insert(preamble.end(), state->chain.begin(), state->chain.end());
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
    const BytesView piece = data.first(std::min(data.size(), wire::kMaxDataBytes));
    data = data.subspan(piece.size());
    const std::uint64_t delta = state_->advance(now);
    wire::put_data(state_->raw, kind, delta, piece);
    if (state_->raw.size() >= kSegmentBytes) MEZ_CHECK(flush());
  }
  return {};
}

Status Writer::resize(std::uint16_t columns, std::uint16_t rows, SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  const std::uint64_t delta = state_->advance(now);
  wire::put_resize(state_->raw, delta, columns, rows);
  if (state_->raw.size() >= kSegmentBytes) MEZ_CHECK(flush());
  return {};
}

Status Writer::flush_due(SteadyTime now) {
  if (state_->error) return std::unexpected(*state_->error);
  return now >= next_flush() ? flush() : Status{};
}

Status Writer::flush() {
  if (state_->error) return std::unexpected(*state_->error);
  if (state_->raw.empty()) return {};
  state_->note_in_index();
  MEZ_CHECK(state_->append_events());
  state_->raw.clear();
  state_->waiting_since.reset();
  return {};
}

SteadyTime Writer::next_flush() const {
  return state_->waiting_since ? *state_->waiting_since + kFlushInterval : SteadyTime::max();
}

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
  const std::uint64_t delta = state_->advance(now);
  wire::put_end(state_->raw, delta, end);
  MEZ_CHECK(flush());
  Bytes index;
  wire::IndexEntry last;
  for (const wire::IndexEntry& entry : state_->index) {
    wire::put_varint(index, entry.start_ms - last.start_ms);
    wire::put_varint(index, entry.offset - last.offset);
    last = entry;
  }
  const std::uint64_t index_offset = state_->size;
  MEZ_CHECK(
      state_->append_segment(wire::SegmentKind::kIndex, state_->last_ms, {wire::compress(index), {}}, index.size()));
  Bytes footer;
  wire::put_u64(footer, index_offset);
  MEZ_CHECK(state_->append_segment(wire::SegmentKind::kFooter, state_->last_ms, {footer, {}}, footer.size()));
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
