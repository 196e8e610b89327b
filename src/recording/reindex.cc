#include "recording/reindex.hh"

#include "base/text.hh"
#include "recording/examine.hh"
#include "recording/reader.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kHeadBytes = 16 * 1024;  // nearly every header fits
constexpr std::size_t kPartBytes = std::size_t{512} << 10;

// An object from its start on.
Pieces pieces_of(ObjectStore& store, std::string_view session_id, const ObjectHead& head) {
  return [&store, &head, session_id, part = Bytes(), offset = std::uint64_t{0}]() mutable -> Result<BytesView> {
    if (offset == 0 && !head.data.empty()) {
      offset = head.data.size();
      return BytesView(head.data);
    }
    if (offset >= head.size_bytes) return BytesView();
    MEZ_TRY(ReadChunk chunk, store.read(session_id, offset, kPartBytes));
    if (chunk.data.empty()) return fail(ErrorCode::kIo, "the store gave less of an object than it has");
    part = std::move(chunk.data);
    offset += part.size();
    return BytesView(part);
  };
}

// What its header says of it, and whether that is as the node wrote it.
Result<StoredRecording> begin(const Examined& examined, const Identity* hub, std::string_view session_id) {
  if (!examined.header) return fail(ErrorCode::kCorrupt, "{}", examined.problem);
  const Header& header = *examined.header;
  if (header.session_id != session_id) {
    return fail(ErrorCode::kCorrupt, "it is named after another session than the one in its header, {}",
                header.session_id);
  }
  if (header.node_id.empty()) return fail(ErrorCode::kCorrupt, "its header names no node");
  StoredRecording recording;
  recording.header = header;
  recording.owner = header.node_id;
  recording.problem = examined.problem;
  // One for another hub's key may be of the hub that was here before: its tags are nobody's to verify any more.
  const bool is_ours = hub != nullptr && header.chain_key.recipient == hub->recipient();
  if (recording.problem.empty() && is_ours) recording.problem = examined.unopened;
  return recording;
}

void take(StoredRecording& recording, const Verified& verified) {
  recording.complete = verified.complete;
  if (verified.end) recording.ended_at = recording.header.started_at + verified.duration;
}

}  // namespace

Result<StoredRecording> examine_file(const std::filesystem::path& path, std::string_view session_id,
                                     const Identity* hub) {
  MEZ_TRY(BulkFile file, BulkFile::open(path));
  MEZ_TRY(const std::uint64_t size, file.size());
  MEZ_TRY(const Examined examined, examine(pieces_of(file, size), {.hub = hub, .announced = nullptr, .chain_id = {}}));
  MEZ_TRY(StoredRecording recording, begin(examined, hub, session_id));
  recording.size_bytes = size;
  recording.sha256 = to_hex(examined.sha256);
  if (recording.problem.empty()) {
    take(recording, examined.verified);
  } else {
    // Who rewrote it made the sums agree: they say whether all of it is there.
    MEZ_TRY(const Examined sums, examine(pieces_of(file, size), {}));
    take(recording, sums.verified);
  }
  return recording;
}

Result<StoredRecording> examine_object(ObjectStore& store, std::string_view session_id, const Identity* hub) {
  MEZ_TRY(const ObjectHead head, store.head(session_id, kHeadBytes));
  const Origin origin{.hub = hub, .announced = nullptr, .chain_id = {}};
  MEZ_TRY(Examined examined, examine_header(pieces_of(store, session_id, head), origin));
  MEZ_TRY(StoredRecording recording, begin(examined, hub, session_id));
  recording.archived = true;
  recording.size_bytes = head.size_bytes;
  recording.sha256 = head.facts.sha256;
  recording.ended_at = head.facts.ended_at;
  // The end of an encrypted one is nobody's to know but its recipients'.
  if (recording.sha256.empty() || (!recording.ended_at && !recording.header.is_encrypted())) {
    MEZ_TRY(examined, examine(pieces_of(store, session_id, head), origin));
    if (recording.problem.empty()) recording.problem = examined.problem;
    take(recording, examined.verified);
    const std::string sha256 = to_hex(examined.sha256);
    if (!recording.sha256.empty() && recording.sha256 != sha256) {
      recording.problem = fmt::format("the store says that its SHA-256 is {}, but it is {}", recording.sha256, sha256);
    }
    recording.sha256 = sha256;
  }
  recording.complete = true;  // nothing else is ever stored
  return recording;
}

}  // namespace mezite::recording
