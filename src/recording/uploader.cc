#include "recording/uploader.hh"

#include <algorithm>

#include "base/log.hh"
#include "recording/bulk_file.hh"
#include "recording/examine.hh"

namespace mezite::recording {
namespace {

constexpr std::chrono::milliseconds kFirstWait{1000};
constexpr std::chrono::minutes kLongestWait{5};
constexpr std::chrono::seconds kIdle{30};
constexpr int kMaxMismatches = 3;
constexpr int kMaxUnreachable = 2;  // in one round: then the hub is away, and the rest waits for the next round

struct Checked {
  Header header;
  Bytes sha256;
};

// Hash and chain from one reading. kCorrupt: the file itself.
Result<Checked> check(BulkFile& file, std::uint64_t size) {
  HashedReading reading(pieces_of(file, size));
  MEZ_TRY(Reader reader, Reader::open(reading.pull(), {.content = ReadOptions::Content::kChain}));
  MEZ_CHECK(verify(reader));
  MEZ_TRY(Bytes sha256, reading.finish());  // with what is behind that which a reader takes for the end
  return Checked{.header = reader.header(), .sha256 = std::move(sha256)};
}

bool is_unreachable(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout || code == ErrorCode::kUnauthenticated;
}

// The file's own fault, not the way's.
constexpr std::string_view kLocalFault = "this node's copy does not verify: ";

}  // namespace

Uploader::Uploader(Spool& spool, UploadTarget& target, const Clock& clock, Callbacks callbacks, std::uint64_t seed)
    : spool_(spool), target_(target), clock_(clock), callbacks_(std::move(callbacks)), random_(seed) {}

SteadyTime Uploader::run_once() {
  SteadyTime next = clock_.steady() + kIdle;
  const auto waiting = spool_.waiting();
  if (!waiting) {
    log::error("reading the recording spool failed", {{"error", waiting.error()}});
    return next;
  }
  std::erase_if(waits_, [&](const auto& wait) { return std::ranges::count(*waiting, wait.first) == 0; });
  int unreachable = 0;
  for (const std::string& id : *waiting) {
    if (const auto wait = waits_.find(id); wait != waits_.end() && clock_.steady() < wait->second.until) {
      next = std::min(next, wait->second.until);
      continue;
    }
    if (unreachable >= kMaxUnreachable) {
      next = std::min(next, clock_.steady() + kFirstWait);
      break;
    }
    if (auto status = upload(id); status) {
      waits_.erase(id);
      unreachable = 0;
    } else {
      unreachable = is_unreachable(status.error().code) ? unreachable + 1 : 0;
      note_failure(id, status.error());
      if (const auto wait = waits_.find(id); wait != waits_.end()) next = std::min(next, wait->second.until);
    }
  }
  return next;
}

Status Uploader::upload(std::string_view session_id) {
  const auto path = spool_.path_of(session_id);
  MEZ_TRY(BulkFile file, BulkFile::open(path));
  MEZ_TRY(const std::uint64_t size, file.size());
  const auto checked = check(file, size);
  if (!checked && checked.error().code != ErrorCode::kCorrupt) return std::unexpected(checked.error());
  if (!checked) return fail(ErrorCode::kInvalidArgument, "{}{}", kLocalFault, checked.error().message);
  const auto& [header, sha256] = *checked;
  if (header.session_id != session_id) {
    return fail(ErrorCode::kInvalidArgument, "{}its header is of the session {}", kLocalFault, header.session_id);
  }
  const std::string header_json = header_to_json(header);

  // An empty chunk asks how much is held: after a lost answer or a restart it goes on from there.
  MEZ_TRY(PutReceipt receipt, target_.put({.session_id = session_id, .header_json = header_json}));
  while (!receipt.verified) {
    const std::uint64_t offset = receipt.size;
    if (offset > size) {
      return fail(ErrorCode::kCorrupt, "the hub holds {} bytes of a recording that has {}", offset, size);
    }
    // Up to a whole piece: after the first chunk of an upload that goes on, both sides read and write whole pages.
    MEZ_TRY(BytesView chunk, file.read(offset));
    if (chunk.empty() && offset < size) return fail(ErrorCode::kIo, "a recording of the spool became shorter");
    chunk = chunk.first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), size - offset)));
    const bool last = offset + chunk.size() == size;
    MEZ_TRY(receipt, target_.put({.session_id = session_id,
                                  .offset = offset,
                                  .data = chunk,
                                  .last = last,
                                  .sha256 = last ? BytesView(sha256) : BytesView(),
                                  .header_json = offset == 0 ? std::string_view(header_json) : std::string_view()}));
    if (!receipt.verified && (last || receipt.size <= offset)) {
      return fail(ErrorCode::kUnavailable, "the hub took a part of a recording without a receipt for it");
    }
  }
  // Only now, with the receipt, may this copy go.
  MEZ_CHECK(spool_.remove(session_id));
  if (callbacks_.uploaded) callbacks_.uploaded(session_id, size);
  return {};
}

void Uploader::note_failure(const std::string& session_id, const Error& error) {
  Wait& wait = waits_[session_id];
  ++wait.failures;
  if (error.code == ErrorCode::kCorrupt) ++wait.mismatches;
  const bool hopeless = error.code == ErrorCode::kInvalidArgument || wait.mismatches >= kMaxMismatches;
  const bool moved = hopeless && spool_.set_aside(session_id).has_value();
  if (callbacks_.failed) callbacks_.failed(session_id, error, moved);
  if (moved) {
    waits_.erase(session_id);
  } else {
    wait.until = back_off(wait.failures);
  }
}

void Uploader::retry_now() {
  for (auto& [id, wait] : waits_) {
    wait.failures = 0;
    wait.until = {};
  }
}

SteadyTime Uploader::back_off(int failures) {
  return clock_.steady() + mezite::back_off(failures, kFirstWait, kLongestWait, random_());
}

}  // namespace mezite::recording
