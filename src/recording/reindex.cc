#include "recording/reindex.hh"

#include <algorithm>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "recording/reader.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kHeadBytes = 16 * 1024;  // nearly every header fits
constexpr std::size_t kPartBytes = std::size_t{512} << 10;

// An object from its start on, and the hash of what has come.
class Stream {
 public:
  Stream(ObjectStore& store, std::string_view session_id, Bytes beginning, std::uint64_t size_bytes)
      : store_(store), session_id_(session_id), part_(std::move(beginning)), offset_(part_.size()) {
    eof_ = offset_ >= size_bytes;
    hasher_.update(part_);
  }

  Result<std::size_t> read(std::span<std::uint8_t> buffer) {
    if (at_ == part_.size() && !eof_) {
      MEZ_TRY(ReadChunk chunk, store_.read(session_id_, offset_, kPartBytes));
      part_ = std::move(chunk.data);
      offset_ += part_.size();
      eof_ = chunk.eof || part_.empty();
      at_ = 0;
      hasher_.update(part_);
    }
    const std::size_t size = std::min(buffer.size(), part_.size() - at_);
    std::copy_n(part_.begin() + static_cast<std::ptrdiff_t>(at_), size, buffer.begin());
    at_ += size;
    return size;
  }
  Pull pull() {
    return [this](std::span<std::uint8_t> buffer) { return read(buffer); };
  }
  // Of the whole object: what has not been read is read now.
  Result<std::string> hash() {
    Bytes rest(kPartBytes);
    for (std::size_t got = 1; got > 0;) {
      MEZ_TRY(got, read(rest));
    }
    return to_hex(hasher_.finish());
  }

 private:
  ObjectStore& store_;
  const std::string_view session_id_;
  Bytes part_;
  std::size_t at_ = 0;
  std::uint64_t offset_ = 0;
  bool eof_ = false;
  crypto::Hasher hasher_{crypto::HashAlgorithm::kSha256};
};

Result<StoredRecording> begin(const Header& header, std::string_view session_id) {
  if (header.session_id != session_id) {
    return fail(ErrorCode::kCorrupt, "it is named after another session than the one in its header, {}",
                header.session_id);
  }
  if (header.node_id.empty()) return fail(ErrorCode::kCorrupt, "its header names no node");
  StoredRecording recording;
  recording.header = header;
  recording.owner = header.node_id;
  return recording;
}

// Only what is in the bytes is a problem of the recording; what could not be read may be another time.
Status take(StoredRecording& recording, const Result<Verified>& verified) {
  if (verified) {
    recording.complete = verified->complete;
    if (verified->end) recording.ended_at = recording.header.started_at + verified->duration;
    return {};
  }
  if (verified.error().code != ErrorCode::kCorrupt) return std::unexpected(verified.error());
  recording.problem = verified.error().message;
  return {};
}

}  // namespace

Result<StoredRecording> examine_file(const std::filesystem::path& path, std::string_view session_id) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorCode::kNotFound, "reading {}: {}", path.native(), error.message());
  MEZ_TRY(const Reader reader, Reader::open_file(path));
  MEZ_TRY(StoredRecording recording, begin(reader.header(), session_id));
  recording.size_bytes = size;
  MEZ_TRY(recording.sha256, hash_of_file(path));
  MEZ_CHECK(take(recording, verify_file(path)));
  return recording;
}

Result<StoredRecording> examine_object(ObjectStore& store, std::string_view session_id) {
  MEZ_TRY(ObjectHead head, store.head(session_id, kHeadBytes));
  StoredRecording recording;
  {
    Stream beginning(store, session_id, head.data, head.size_bytes);
    MEZ_TRY(const Reader reader, Reader::open(beginning.pull()));
    MEZ_TRY(recording, begin(reader.header(), session_id));
  }
  recording.archived = true;
  recording.size_bytes = head.size_bytes;
  recording.sha256 = head.facts.sha256;
  recording.ended_at = head.facts.ended_at;
  // The end of an encrypted one is nobody's to know but its recipients'.
  if (recording.sha256.empty() || (!recording.ended_at && !recording.header.is_encrypted())) {
    Stream whole(store, session_id, std::move(head.data), head.size_bytes);
    MEZ_CHECK(take(recording, verify(whole.pull())));
    MEZ_TRY(const std::string sha256, whole.hash());
    if (!recording.sha256.empty() && recording.sha256 != sha256) {
      recording.problem = fmt::format("the store says that its SHA-256 is {}, but it is {}", recording.sha256, sha256);
    }
    recording.sha256 = sha256;
  }
  recording.complete = true;  // nothing else is ever stored
  return recording;
}

}  // namespace mezite::recording
