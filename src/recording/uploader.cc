#include "recording/uploader.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/log.hh"
#include "base/unique_fd.hh"
#include "crypto/hash.hh"
#include "recording/reader.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
constexpr std::chrono::milliseconds kFirstWait{1000};
constexpr std::chrono::minutes kLongestWait{5};
constexpr std::chrono::seconds kIdle{30};
constexpr int kMaxMismatches = 3;
constexpr int kMaxUnreachable = 2;  // in one round: then the hub is away, and the rest waits for the next round

Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<std::uint8_t> buffer) {
  std::size_t got = 0;
  while (got < buffer.size()) {
    const ssize_t count = ::pread(fd, buffer.data() + got, buffer.size() - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "reading a recording of the spool");
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
  }
  return got;
}

struct Checked {
  Header header;
  Bytes sha256;
};

// Hash and chain from one reading. kCorrupt: the file itself.
Result<Checked> check(int fd, std::uint64_t size) {
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  std::uint64_t at = 0;
  const Pull pull = [&](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - at));
    MEZ_TRY(const std::size_t got, read_at(fd, at, buffer.first(want)));
    if (got < want) return fail(ErrorCode::kIo, "a recording of the spool became shorter while it was read");
    hasher.update(BytesView(buffer).first(got));
    at += got;
    return got;
  };
  MEZ_TRY(Reader reader, Reader::open(pull, {.content = ReadOptions::Content::kChain}));
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
  }
  Bytes rest(kChunkBytes);  // behind what a reader takes for the end
  while (at < size) MEZ_CHECK(pull(rest));
  return Checked{.header = reader.header(), .sha256 = hasher.finish()};
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
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return fail_errno(errno, "opening a recording of the spool");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const auto checked = check(fd.get(), size);
  if (!checked && checked.error().code != ErrorCode::kCorrupt) return std::unexpected(checked.error());
  if (!checked) return fail(ErrorCode::kInvalidArgument, "{}{}", kLocalFault, checked.error().message);
  const auto& [header, sha256] = *checked;
  if (header.session_id != session_id) {
    return fail(ErrorCode::kInvalidArgument, "{}its header is of the session {}", kLocalFault, header.session_id);
  }
  const std::string header_json = header_to_json(header);

  // An empty chunk asks how much is held: after a lost answer or a restart it goes on from there.
  MEZ_TRY(PutReceipt receipt, target_.put({.session_id = session_id, .header_json = header_json}));
  Bytes buffer(kChunkBytes);
  while (!receipt.verified) {
    const std::uint64_t offset = receipt.size;
    if (offset > size) {
      return fail(ErrorCode::kCorrupt, "the hub holds {} bytes of a recording that has {}", offset, size);
    }
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, size - offset));
    MEZ_TRY(const std::size_t got, read_at(fd.get(), offset, std::span(buffer).first(want)));
    if (got < want) return fail(ErrorCode::kIo, "a recording of the spool became shorter while it was read");
    const bool last = offset + got == size;
    MEZ_TRY(receipt, target_.put({.session_id = session_id,
                                  .offset = offset,
                                  .data = BytesView(buffer).first(got),
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
