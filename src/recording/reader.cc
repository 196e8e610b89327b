#include "recording/reader.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/unique_fd.hh"
#include "crypto/aead.hh"
#include "recording/wire.hh"

namespace mezite::recording {

namespace {

constexpr std::string_view kOldMagic = "MEZREC1\n";

}  // namespace

struct Reader::State {
  Pull pull;
  std::optional<Source> source;  // when it can be read from any place
  std::shared_ptr<std::uint64_t> source_at;
  Header header;
  Secret key;
  ReadOptions::Content content = ReadOptions::Content::kEvents;
  Secret chain_key;  // empty: tags are not verified
  wire::Trailer first_trailer;
  std::uint64_t first_segment = 0;
  Sum sum{};  // of the last segment
  std::optional<TagChain> tags;
  std::uint64_t number = 0;  // of the next segment
  std::uint64_t valid = 0;   // bytes up to the end of the last whole segment
  Bytes raw;                 // the segment being read …
  wire::Cursor cursor{{}};   // … and what is left of it
  std::uint64_t at_ms = 0;
  std::uint64_t last_ms = 0;  // times never go back, across segments either
  std::uint64_t segment_offset = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t index_number = 0;
  bool ended = false;  // the end event was seen
  bool has_index = false;
  bool complete = false;  // … and the footer
  bool at_end = false;

  explicit State(Pull from) : pull(std::move(from)) {}

  // Fills the buffer; fewer bytes only at the end of the file.
  Result<std::size_t> fill(std::span<std::uint8_t> buffer) {
    std::size_t got = 0;
    while (got < buffer.size()) {
      MEZ_TRY(const std::size_t count, pull(buffer.subspan(got)));
      if (count == 0) break;
      if (count > buffer.size() - got) return fail(ErrorCode::kInternal, "a recording's source gave more than asked");
      got += count;
    }
    return got;
  }

  std::unexpected<Error> altered(std::string_view what) const {
    return fail(ErrorCode::kCorrupt, "the recording was altered: {} in the segment at byte {}", what, valid);
  }

  std::unexpected<Error> rewritten() const {
    return fail(ErrorCode::kCorrupt, "the recording was rewritten: the tag of the segment (byte {}) does not agree",
                valid);
  }

  // After a crash a file may have grown by zeros that were never written.
  Result<bool> only_zeros_follow(BytesView begun) {
    const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
    if (!std::ranges::all_of(begun, is_zero)) return false;
    Bytes buffer(64 * 1024);
    for (;;) {
      MEZ_TRY(const std::size_t got, fill(buffer));
      if (!std::ranges::all_of(BytesView(buffer).first(got), is_zero)) return false;
      if (got < buffer.size()) return true;
    }
  }

  // Reads and verifies the next segment; false at the end.
  Result<bool> next_segment() {
    std::array<std::uint8_t, wire::kFrameBytes> frame_bytes;
    MEZ_TRY(const std::size_t got, fill(frame_bytes));
    if (complete) return got == 0 ? Result<bool>(false) : altered("bytes after the footer");
    if (got < frame_bytes.size()) return false;
    const auto frame = wire::decode_frame(frame_bytes, sum);
    if (!frame) {
      MEZ_TRY(const bool torn, only_zeros_follow(frame_bytes));
      if (torn) return false;
      return altered("a frame that does not verify");
    }
    Bytes rest(frame->block_bytes + wire::kTrailerBytes);
    MEZ_TRY(const std::size_t rest_got, fill(rest));
    if (rest_got < rest.size()) return false;
    const BytesView block = BytesView(rest).first(frame->block_bytes);
    const BytesView trailer_bytes = BytesView(rest).last(wire::kTrailerBytes);
    const wire::Trailer trailer = wire::get_trailer(trailer_bytes);
    if (sum_of(std::array<BytesView, 4>{sum, frame_bytes, block, trailer.tag}) != trailer.sum) {
      MEZ_TRY(const bool torn, only_zeros_follow(trailer_bytes));
      if (torn) return false;
      return altered("a sum that does not agree");
    }
    if (tags && !equal_constant_time(tags->next(std::array<BytesView, 2>{frame_bytes, block}), trailer.tag)) {
      return rewritten();
    }
    if (auto status = take(*frame, frame_bytes, block); !status) return std::unexpected(status.error());
    sum = trailer.sum;
    ++number;
    segment_offset = valid;
    valid += wire::kFrameBytes + rest.size();
    return true;
  }

  // A verified segment's content; still hostile, as a sum can be made by anyone.
  Status take(const wire::Frame& frame, BytesView frame_bytes, BytesView block) {
    const bool sees_events = content == ReadOptions::Content::kEvents;
    switch (frame.kind) {
      case wire::SegmentKind::kEvents:
        if (ended || has_index) return altered("events after the end");
        if (frame.start_ms < last_ms) return altered("a time that goes back");
        at_ms = frame.start_ms;
        last_ms = at_ms;
        return sees_events ? open_block(frame, frame_bytes, block) : Status{};
      case wire::SegmentKind::kIndex:
        if ((sees_events && !ended) || has_index) return altered("an index out of place");
        has_index = true;
        index_offset = valid;
        index_number = number;
        return {};
      case wire::SegmentKind::kFooter:
        if (!has_index || frame.block_bytes != wire::kFooterBlockBytes || wire::get_u64(block) != index_offset ||
            wire::get_u64(block.subspan(8)) != index_number) {
          return altered("a footer out of place");
        }
        complete = true;
        last_ms = std::max(last_ms, frame.start_ms);
        return {};
    }
    return altered("an unknown kind");
  }

  Status open_block(const wire::Frame& frame, BytesView frame_bytes, BytesView block) {
    Secret plain;
    if (header.is_encrypted()) {
      if (key.empty()) {
        return fail(ErrorCode::kFailedPrecondition,
                    "the recording is encrypted to {}; give the identity file of one with --identity=FILE",
                    names_of(header.keys));
      }
      auto opened = crypto::aead_open(key.view(), block, frame_bytes);
      if (!opened) return altered("a block that does not decrypt");
      plain = std::move(*opened);
    }
    raw.resize(frame.raw_bytes);
    if (!wire::decompress(header.is_encrypted() ? plain.view() : block, raw)) {
      return altered("a block that does not decompress");
    }
    cursor = wire::Cursor(raw);
    return {};
  }

  // Forgets where it was; the next segment is the one at `offset`, whose predecessor has that trailer.
  void restart(std::uint64_t offset, std::uint64_t next_number, const wire::Trailer& before) {
    *source_at = offset;
    number = next_number;
    sum = before.sum;
    tags = tags_from(next_number, before.tag);
    valid = offset;
    raw.clear();
    cursor = wire::Cursor({});
    at_ms = last_ms = segment_offset = index_offset = index_number = 0;
    ended = has_index = complete = at_end = false;
  }

  std::optional<TagChain> tags_from(std::uint64_t next_number, const Tag& before) const {
    if (chain_key.empty()) return std::nullopt;
    std::optional<TagChain> at(chain_key.clone());
    at->skip_to(next_number, before);
    return at;
  }

  Result<Bytes> read_exactly(std::uint64_t offset, std::size_t size) {
    Bytes bytes(size);
    for (std::size_t got = 0; got < size;) {
      MEZ_TRY(const std::size_t count, source->read(offset + got, std::span(bytes).subspan(got)));
      if (count == 0) return fail(ErrorCode::kCorrupt, "the recording ends before byte {}", offset + size);
      got += count;
    }
    return bytes;
  }

  // A segment at a place that the file itself names, with what stands before it.
  struct Found {
    wire::Trailer before;
    std::optional<wire::Frame> frame;  // none: it does not verify
    Bytes block;
    std::uint64_t next = 0;  // where it ends
  };
  Result<Found> read_segment(std::uint64_t offset, std::uint64_t end, wire::SegmentKind kind) {
    MEZ_TRY(const Bytes bytes,
            read_exactly(offset - wire::kTrailerBytes, static_cast<std::size_t>(end - offset) + wire::kTrailerBytes));
    Found found{.before = wire::get_trailer(bytes), .frame = {}, .block = {}, .next = end};
    const BytesView segment = BytesView(bytes).subspan(wire::kTrailerBytes);
    if (segment.size() < wire::kFrameBytes + wire::kTrailerBytes) return found;
    const BytesView block =
        segment.subspan(wire::kFrameBytes, segment.size() - wire::kFrameBytes - wire::kTrailerBytes);
    const auto frame = wire::decode_frame(segment.first(wire::kFrameBytes), found.before.sum);
    if (!frame || frame->kind != kind || frame->block_bytes != block.size()) return found;
    const wire::Trailer trailer = wire::get_trailer(segment.last(wire::kTrailerBytes));
    if (sum_of(std::array<BytesView, 3>{found.before.sum, segment.first(segment.size() - wire::kTrailerBytes),
                                        trailer.tag}) != trailer.sum) {
      return found;
    }
    found.frame = frame;
    found.block = to_bytes(block);
    return found;
  }

  // The last indexed segment that is not after `wanted_ms`; none when the file does not end with a footer.
  Result<std::optional<wire::IndexEntry>> find_in_index(std::uint64_t wanted_ms) {
    MEZ_TRY(const std::uint64_t size, source->size());
    if (size < first_segment + wire::kFooterBytes + wire::kFrameBytes + wire::kTrailerBytes) return std::nullopt;
    const std::uint64_t footer_offset = size - wire::kFooterBytes;
    MEZ_TRY(const Found footer, read_segment(footer_offset, size, wire::SegmentKind::kFooter));
    if (!footer.frame) return std::nullopt;
    const std::uint64_t at = wire::get_u64(footer.block);
    const std::uint64_t index_number_there = wire::get_u64(BytesView(footer.block).subspan(8));
    if (at < first_segment || at >= footer_offset || footer_offset - at > wire::kMaxBlockBytes ||
        index_number_there > most_before(at)) {
      return altered_at("the footer", footer_offset);
    }
    MEZ_TRY(const Found index, read_segment(at, footer_offset, wire::SegmentKind::kIndex));
    if (!index.frame) return altered_at("the index", at);
    Bytes entries(index.frame->raw_bytes);
    if (!wire::decompress(index.block, entries)) return altered_at("the index", at);
    wire::Cursor cursor_of_index{entries};
    wire::IndexEntry entry;
    std::optional<wire::IndexEntry> best;
    while (!cursor_of_index.empty()) {
      const auto time = cursor_of_index.varint();
      const auto distance = cursor_of_index.varint();
      const auto segments = cursor_of_index.varint();
      // Below 2^63 all, and each step is checked: no sum overflows.
      if (!time || !distance || !segments || *distance > at || *time > wire::kMaxTimeMs || *segments > at) {
        return altered_at("the index", at);
      }
      entry.start_ms += *time;
      entry.offset += *distance;
      entry.number += *segments;
      if (entry.offset >= at || entry.start_ms > wire::kMaxTimeMs || entry.offset < first_segment ||
          entry.number == 0 || entry.number > most_before(entry.offset)) {
        return altered_at("the index", at);
      }
      if (entry.start_ms > wanted_ms) break;
      best = entry;
    }
    return best ? best : wire::IndexEntry{.start_ms = 0, .offset = first_segment, .number = 1};
  }

  // So many segments at most are before a place, so high may the number of the one there be: a key is derived for each.
  std::uint64_t most_before(std::uint64_t offset) const {
    return 1 + (offset - first_segment) / (wire::kFrameBytes + 1 + wire::kTrailerBytes);
  }

  static std::unexpected<Error> altered_at(std::string_view what, std::uint64_t offset) {
    return fail(ErrorCode::kCorrupt, "the recording was altered: {} at byte {} does not verify", what, offset);
  }
};

Reader::Reader(std::unique_ptr<State> state) : state_(std::move(state)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

Result<Reader> Reader::open(Pull pull, const ReadOptions& options) {
  auto state = std::make_unique<State>(std::move(pull));
  state->content = options.content;
  Bytes preamble(wire::kPreambleBytes);
  MEZ_TRY(const std::size_t got, state->fill(preamble));
  const BytesView magic = BytesView(preamble).first(std::min(got, wire::kMagic.size()));
  if (as_text(magic) == kOldMagic) {
    return fail(ErrorCode::kCorrupt, "this recording has version 1 of the format; this program reads version 2 only");
  }
  if (got < preamble.size() || as_text(magic) != wire::kMagic) {
    return fail(ErrorCode::kCorrupt, "this is no recording of Mezite: it does not begin with its magic");
  }
  const std::uint32_t size = wire::get_u32(BytesView(preamble).subspan(8));
  if (size > kMaxHeaderBytes * 4) return fail(ErrorCode::kCorrupt, "the recording was altered: its header's length");
  preamble.resize(wire::kPreambleBytes + size + wire::kTrailerBytes);
  const auto rest = std::span(preamble).subspan(wire::kPreambleBytes);
  MEZ_TRY(const std::size_t rest_got, state->fill(rest));
  if (rest_got < rest.size()) return fail(ErrorCode::kCorrupt, "the recording ends within its header");
  const BytesView tagged = BytesView(preamble).first(wire::kPreambleBytes + size);
  state->first_trailer = wire::get_trailer(rest.last(wire::kTrailerBytes));
  if (sum_of(std::array<BytesView, 2>{tagged, state->first_trailer.tag}) != state->first_trailer.sum) {
    return fail(ErrorCode::kCorrupt, "the recording was altered: its header (byte 0) does not agree with its sum");
  }
  MEZ_TRY(state->header, parse_header(as_text(rest.first(size))));
  if (options.chain_key) {
    MEZ_TRY(state->chain_key, options.chain_key(state->header));
  }
  if (!state->chain_key.empty()) {
    if (state->chain_key.size() != kChainKeyBytes) {
      return fail(ErrorCode::kInvalidArgument, "the key of a recording's chain has {} bytes", kChainKeyBytes);
    }
    state->tags.emplace(state->chain_key.clone());
    if (!equal_constant_time(state->tags->next(std::array<BytesView, 1>{tagged}), state->first_trailer.tag)) {
      return fail(ErrorCode::kCorrupt, "the recording was rewritten: the tag of its header (byte 0) does not agree");
    }
  }
  state->number = 1;
  state->valid = preamble.size();
  state->first_segment = preamble.size();
  state->sum = state->first_trailer.sum;
  if (state->header.is_encrypted() && options.identity != nullptr) {
    MEZ_TRY(state->key, open_key(state->header.keys, *options.identity, state->header.session_id));
  }
  if (state->content == ReadOptions::Content::kWhatOpens) {
    const bool opens = !state->header.is_encrypted() || !state->key.empty();
    state->content = opens ? ReadOptions::Content::kEvents : ReadOptions::Content::kChain;
  }
  return Reader(std::move(state));
}

Result<Reader> Reader::open_seekable(Source source, const ReadOptions& options) {
  auto at = std::make_shared<std::uint64_t>(0);
  auto pull = [at, read = source.read](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
    MEZ_TRY(const std::size_t got, read(*at, buffer));
    *at += got;
    return got;
  };
  MEZ_TRY(Reader reader, open(std::move(pull), options));
  reader.state_->source = std::move(source);
  reader.state_->source_at = std::move(at);
  return reader;
}

Result<Reader> Reader::open_file(const std::filesystem::path& path, const ReadOptions& options) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail_errno(errno, fmt::format("opening the recording {}", path.native()));
  auto file = std::make_shared<UniqueFd>(fd);
  Source source;
  source.read = [file](std::uint64_t offset, std::span<std::uint8_t> buffer) -> Result<std::size_t> {
    for (;;) {
      const ssize_t got = ::pread(file->get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail_errno(errno, "reading the recording");
    }
  };
  source.size = [file]() -> Result<std::uint64_t> {
    struct stat info{};
    if (::fstat(file->get(), &info) != 0) return fail_errno(errno, "reading the recording's size");
    return static_cast<std::uint64_t>(info.st_size);
  };
  return open_seekable(std::move(source), options);
}

Status Reader::seek(std::chrono::milliseconds at) {
  State& state = *state_;
  if (!state.source) return fail(ErrorCode::kFailedPrecondition, "this recording can only be read from its start");
  const auto wanted = static_cast<std::uint64_t>(std::max<std::int64_t>(at.count(), 0));
  MEZ_TRY(const auto found, state.find_in_index(wanted));
  if (!found || found->offset == state.first_segment) {
    state.restart(state.first_segment, 1, state.first_trailer);
    return {};
  }
  MEZ_TRY(const Bytes before, state.read_exactly(found->offset - wire::kTrailerBytes, wire::kTrailerBytes));
  state.restart(found->offset, found->number, wire::get_trailer(before));
  return {};
}

std::chrono::milliseconds Reader::position() const { return std::chrono::milliseconds(state_->last_ms); }

bool Reader::authenticates() const { return state_->tags.has_value(); }
const Header& Reader::header() const { return state_->header; }
bool Reader::complete() const { return state_->complete; }
std::uint64_t Reader::valid_bytes() const { return state_->valid; }

Result<std::optional<Event>> Reader::next() {
  State& state = *state_;
  while (state.cursor.empty()) {
    if (state.at_end) return std::optional<Event>();
    MEZ_TRY(const bool more, state.next_segment());
    if (!more) state.at_end = true;
  }
  auto event = wire::get_event(state.cursor, state.at_ms);
  if (!event || state.ended) {
    return fail(ErrorCode::kCorrupt, "the recording was altered: a malformed event in the segment at byte {}",
                state.segment_offset);
  }
  state.last_ms = state.at_ms;
  if (event->kind == EventKind::kEnd) state.ended = true;
  return event;
}

Result<Verified> verify(Reader& reader) {
  Verified verified;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    verified.duration = event->at;
    if (event->kind == EventKind::kEnd) verified.end = event->end;
  }
  verified.complete = reader.complete();
  verified.valid_bytes = reader.valid_bytes();
  verified.duration = std::max(verified.duration, reader.position());
  return verified;
}

Result<Verified> verify_file(const std::filesystem::path& path) {
  MEZ_TRY(Reader reader, Reader::open_file(path, {.content = ReadOptions::Content::kWhatOpens}));
  return verify(reader);
}

Result<Verified> verify(Pull pull) {
  MEZ_TRY(Reader reader, Reader::open(std::move(pull), {.content = ReadOptions::Content::kWhatOpens}));
  return verify(reader);
}

}  // namespace mezite::recording
