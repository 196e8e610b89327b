#include "recording/reader.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/unique_fd.hh"
#include "crypto/aead.hh"
#include "recording/wire.hh"

namespace mezite::recording {

struct Reader::State {
  Pull pull;
  std::optional<Source> source;  // when it can be read from any place
  std::shared_ptr<std::uint64_t> source_at;
  Header header;
  Secret key;
  ReadOptions::Content content = ReadOptions::Content::kEvents;
  wire::Chain first_chain{};
  std::uint64_t first_segment = 0;
  wire::Chain chain{};
  std::uint64_t valid = 0;  // bytes up to the end of the last whole segment
  Bytes raw;                // the segment being read …
  wire::Cursor cursor{{}};  // … and what is left of it
  std::uint64_t at_ms = 0;
  std::uint64_t last_ms = 0;  // times never go back, across segments either
  std::uint64_t segment_offset = 0;
  std::uint64_t index_offset = 0;
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
    const auto frame = wire::decode_frame(frame_bytes, chain);
    if (!frame) {
      MEZ_TRY(const bool torn, only_zeros_follow(frame_bytes));
      if (torn) return false;
      return altered("a frame that does not verify");
    }
    Bytes bytes(wire::kHashBytes + wire::kFrameBytes + frame->block_bytes + wire::kHashBytes);
    std::ranges::copy(chain, bytes.begin());
    std::ranges::copy(frame_bytes, bytes.begin() + wire::kHashBytes);
    const std::span<std::uint8_t> rest = std::span(bytes).subspan(wire::kHashBytes + wire::kFrameBytes);
    MEZ_TRY(const std::size_t rest_got, fill(rest));
    if (rest_got < rest.size()) return false;
    const BytesView block = rest.first(frame->block_bytes);
    const wire::Chain expected = crypto::sha256(BytesView(bytes).first(bytes.size() - wire::kHashBytes));
    if (!std::ranges::equal(expected, rest.last(wire::kHashBytes))) {
      MEZ_TRY(const bool torn, only_zeros_follow(rest.last(wire::kHashBytes)));
      if (torn) return false;
      return altered("a hash that does not agree");
    }
    if (auto status = take(*frame, frame_bytes, block); !status) return std::unexpected(status.error());
    chain = expected;
    segment_offset = valid;
    valid += wire::kFrameBytes + rest.size();
    return true;
  }

  // A verified segment's content; still hostile, as a hash alone can be made by anyone.
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
        return {};
      case wire::SegmentKind::kFooter:
        if (!has_index || frame.block_bytes != 8 || wire::get_u64(block) != index_offset) {
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

  // Forgets where it was; the next segment is the one at `offset`, whose predecessor's hash is `before`.
  void restart(std::uint64_t offset, const wire::Chain& before) {
    *source_at = offset;
    chain = before;
    valid = offset;
    raw.clear();
    cursor = wire::Cursor({});
    at_ms = last_ms = segment_offset = index_offset = 0;
    ended = has_index = complete = at_end = false;
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

  // The place of the last indexed segment that is not after `at_ms`; none when the file does not end with a footer.
  Result<std::optional<std::uint64_t>> find_in_index(std::uint64_t wanted_ms) {
    MEZ_TRY(const std::uint64_t size, source->size());
    if (size < first_segment + wire::kFooterBytes + wire::kFrameBytes + wire::kHashBytes) return std::nullopt;
    const std::uint64_t footer_offset = size - wire::kFooterBytes;
    MEZ_TRY(const Bytes tail, read_exactly(footer_offset - wire::kHashBytes, wire::kHashBytes + wire::kFooterBytes));
    wire::Chain before{};
    std::copy_n(tail.begin(), before.size(), before.begin());
    const BytesView footer = BytesView(tail).subspan(wire::kHashBytes);
    const auto frame = wire::decode_frame(footer.first(wire::kFrameBytes), before);
    const auto hash = crypto::sha256(BytesView(tail).first(tail.size() - wire::kHashBytes));
    if (!frame || frame->kind != wire::SegmentKind::kFooter || frame->block_bytes != 8 ||
        !std::ranges::equal(hash, footer.last(wire::kHashBytes))) {
      return std::nullopt;
    }
    const std::uint64_t at = wire::get_u64(footer.subspan(wire::kFrameBytes));
    if (at < first_segment || at >= footer_offset || footer_offset - at > wire::kMaxBlockBytes) {
      return altered_at("the footer", footer_offset);
    }
    MEZ_TRY(const Bytes bytes,
            read_exactly(at - wire::kHashBytes, static_cast<std::size_t>(footer_offset - at) + wire::kHashBytes));
    std::copy_n(bytes.begin(), before.size(), before.begin());
    const auto index_frame =
        bytes.size() < wire::kFrameBytes + 2 * wire::kHashBytes
            ? std::nullopt
            : wire::decode_frame(BytesView(bytes).subspan(wire::kHashBytes, wire::kFrameBytes), before);
    if (!index_frame || index_frame->kind != wire::SegmentKind::kIndex ||
        index_frame->block_bytes + wire::kFrameBytes + 2 * wire::kHashBytes != bytes.size() ||
        !std::ranges::equal(crypto::sha256(BytesView(bytes).first(bytes.size() - wire::kHashBytes)),
                            BytesView(bytes).last(wire::kHashBytes))) {
      return altered_at("the index", at);
    }
    Bytes entries(index_frame->raw_bytes);
    if (!wire::decompress(BytesView(bytes).subspan(wire::kHashBytes + wire::kFrameBytes, index_frame->block_bytes),
                          entries)) {
      return altered_at("the index", at);
    }
    wire::Cursor index{entries};
    wire::IndexEntry entry;
    std::optional<std::uint64_t> best;
    while (!index.empty()) {
      const auto time = index.varint();
      const auto distance = index.varint();
      // Below 2^63 both, and each step is checked: no sum overflows.
      if (!time || !distance || *distance > at || *time > wire::kMaxTimeMs) return altered_at("the index", at);
      entry.start_ms += *time;
      entry.offset += *distance;
      if (entry.offset >= at || entry.start_ms > wire::kMaxTimeMs || entry.offset < first_segment) {
        return altered_at("the index", at);
      }
      if (entry.start_ms > wanted_ms) break;
      best = entry.offset;
    }
    return best ? best : first_segment;
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
  if (got < preamble.size() || !std::ranges::equal(as_bytes(wire::kMagic), BytesView(preamble).first(8))) {
    return fail(ErrorCode::kCorrupt, "this is no recording of Mezite: it does not begin with its magic");
  }
  const std::uint32_t size = wire::get_u32(BytesView(preamble).subspan(8));
  if (size > kMaxHeaderBytes * 4) return fail(ErrorCode::kCorrupt, "the recording was altered: its header's length");
  preamble.resize(wire::kPreambleBytes + size + wire::kHashBytes);
  const auto rest = std::span(preamble).subspan(wire::kPreambleBytes);
  MEZ_TRY(const std::size_t rest_got, state->fill(rest));
  if (rest_got < rest.size()) return fail(ErrorCode::kCorrupt, "the recording ends within its header");
  state->chain = crypto::sha256(BytesView(preamble).first(wire::kPreambleBytes + size));
  if (!std::ranges::equal(state->chain, rest.last(wire::kHashBytes))) {
    return fail(ErrorCode::kCorrupt, "the recording was altered: its header (byte 0) does not agree with its hash");
  }
  MEZ_TRY(state->header, parse_header(as_text(rest.first(size))));
  state->valid = preamble.size();
  state->first_segment = preamble.size();
  state->first_chain = state->chain;
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
  if (!found || *found == state.first_segment) {
    state.restart(state.first_segment, state.first_chain);
    return {};
  }
  MEZ_TRY(const Bytes hash, state.read_exactly(*found - wire::kHashBytes, wire::kHashBytes));
  wire::Chain before{};
  std::ranges::copy(hash, before.begin());
  state.restart(*found, before);
  return {};
}

std::chrono::milliseconds Reader::position() const { return std::chrono::milliseconds(state_->last_ms); }

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

namespace {

Result<Verified> verify_all(Reader reader) {
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

constexpr ReadOptions kWithoutKey{.content = ReadOptions::Content::kWhatOpens};

}  // namespace

Result<Verified> verify_file(const std::filesystem::path& path) {
  MEZ_TRY(Reader reader, Reader::open_file(path, kWithoutKey));
  return verify_all(std::move(reader));
}

Result<Verified> verify(Pull pull) {
  MEZ_TRY(Reader reader, Reader::open(std::move(pull), kWithoutKey));
  return verify_all(std::move(reader));
}

}  // namespace mezite::recording
