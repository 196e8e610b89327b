#include "recording/reader.hh"

#include <fcntl.h>

#include <algorithm>

#include "base/unique_fd.hh"
#include "recording/wire.hh"

namespace mezite::recording {

struct Reader::State {
  Pull pull;
  Header header;
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

  explicit State(Pull source) : pull(std::move(source)) {}

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
    if (auto status = take(*frame, block); !status) return std::unexpected(status.error());
    chain = expected;
    segment_offset = valid;
    valid += wire::kFrameBytes + rest.size();
    return true;
  }

  // A verified segment's content; still hostile, as a hash alone can be made by anyone.
  Status take(const wire::Frame& frame, BytesView block) {
    switch (frame.kind) {
      case wire::SegmentKind::kEvents:
        if (ended) return altered("events after the end");
        if (frame.start_ms < last_ms) return altered("a time that goes back");
        raw.resize(frame.raw_bytes);
        if (!wire::decompress(block, raw)) return altered("a block that does not decompress");
        cursor = wire::Cursor(raw);
        at_ms = frame.start_ms;
        return {};
      case wire::SegmentKind::kIndex:
        if (!ended || has_index) return altered("an index out of place");
        has_index = true;
        index_offset = valid;
        return {};
      case wire::SegmentKind::kFooter:
        if (!has_index || frame.block_bytes != 8 || wire::get_u64(block) != index_offset) {
          return altered("a footer out of place");
        }
        complete = true;
        return {};
    }
    return altered("an unknown kind");
  }
};

Reader::Reader(std::unique_ptr<State> state) : state_(std::move(state)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

Result<Reader> Reader::open(Pull pull) {
  auto state = std::make_unique<State>(std::move(pull));
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
  return Reader(std::move(state));
}

Result<Reader> Reader::open_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return fail_errno(errno, fmt::format("opening the recording {}", path.native()));
  auto file = std::make_shared<UniqueFd>(fd);
  return open([file](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
    for (;;) {
      const ssize_t got = ::read(file->get(), buffer.data(), buffer.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail_errno(errno, "reading the recording");
    }
  });
}

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

Result<Verified> verify_file(const std::filesystem::path& path) {
  MEZ_TRY(Reader reader, Reader::open_file(path));
  Verified verified;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    verified.duration = event->at;
    if (event->kind == EventKind::kEnd) verified.end = event->end;
  }
  verified.complete = reader.complete();
  verified.valid_bytes = reader.valid_bytes();
  return verified;
}

}  // namespace mezite::recording
