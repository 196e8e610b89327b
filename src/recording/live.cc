#include "recording/live.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/log.hh"
#include "base/unique_fd.hh"
#include "recording/reader.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{512} << 10;
constexpr std::chrono::milliseconds kFirstWait{500};
constexpr std::chrono::milliseconds kLongestWait{8000};

Result<std::size_t> read_at(int fd, std::uint64_t offset, std::span<std::uint8_t> buffer) {
  for (;;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno(errno, "reading a recording of the spool");
  }
}

// Trying again changes nothing.
bool is_final(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kPermissionDenied || code == ErrorCode::kCorrupt;
}

}  // namespace

struct LiveStreams::Stream {
  std::string id;
  UniqueFd file;
  std::function<void(const Error&)> lost;
  std::uint64_t durable = 0;  // guarded by the streams' mutex, as `closed` is
  bool closed = false;
  // The sending thread's own, once the stream is open.
  std::uint64_t sent = 0;
  int failures = 0;
  SteadyTime failing_since{};
  SteadyTime until{};
  bool over = false;  // refused for good, or lost
};

LiveStreams::LiveStreams(UploadTarget& target, const Clock& clock)
    : target_(target), clock_(clock), thread_([this] { run(); }) {}

LiveStreams::~LiveStreams() { stop(); }

void LiveStreams::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status LiveStreams::open(const std::string& session_id, const std::filesystem::path& file,
                         std::function<void(const Error&)> lost) {
  auto stream = std::make_shared<Stream>();
  stream->id = session_id;
  stream->lost = std::move(lost);
  MEZ_TRY(const Reader reader, Reader::open_file(file));
  const std::string header_json = header_to_json(reader.header());
  stream->file.reset(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!stream->file) return fail_errno(errno, fmt::format("opening the recording {}", file.native()));
  Bytes first(static_cast<std::size_t>(reader.valid_bytes()));
  MEZ_TRY(const std::size_t got, read_at(stream->file.get(), 0, first));
  if (got != first.size()) return fail(ErrorCode::kIo, "a recording of the spool became shorter while it was read");
  MEZ_TRY(const PutReceipt receipt, target_.put({.session_id = session_id, .data = first, .header_json = header_json}));
  if (receipt.size < first.size()) {
    return fail(ErrorCode::kUnavailable, "the hub took a part of a recording without a receipt for it");
  }
  stream->sent = stream->durable = receipt.size;
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(ErrorCode::kUnavailable, "the agent is stopping");
  streams_[session_id] = std::move(stream);
  return {};
}

void LiveStreams::synced(std::string_view session_id, std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = streams_.find(session_id);
    if (found == streams_.end() || bytes <= found->second->durable) return;
    found->second->durable = bytes;
  }
  wake_.notify_all();
}

void LiveStreams::close(std::string_view session_id) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(session_id);
  if (found == streams_.end()) return;
  found->second->closed = true;
  streams_.erase(found);
}

void LiveStreams::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<std::shared_ptr<Stream>> due;
    const SteadyTime now = clock_.steady();
    SteadyTime next = now + std::chrono::hours(1);
    for (const auto& [id, stream] : streams_) {
      if (stream->over || stream->durable <= stream->sent) continue;
      if (stream->until > now)
        next = std::min(next, stream->until);
      else
        due.push_back(stream);
    }
    if (due.empty()) {
      wake_.wait_for(lock, next - now);
      continue;
    }
    for (const auto& stream : due) {
      if (stopping_) break;
      lock.unlock();
      send(*stream);
      lock.lock();
    }
  }
}

// A few chunks of one stream, so that a busy one does not hold up the others.
void LiveStreams::send(Stream& stream) {
  constexpr int kChunksAtOnce = 8;
  Bytes buffer(kChunkBytes);
  for (int i = 0; i < kChunksAtOnce; ++i) {
    std::uint64_t durable = 0;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || stream.closed) return;
      durable = stream.durable;
    }
    if (durable <= stream.sent) return;
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), durable - stream.sent));
    const auto got = read_at(stream.file.get(), stream.sent, std::span(buffer).first(want));
    if (!got || *got == 0) {
      return note_failure(stream, got ? Error{ErrorCode::kIo, "a recording of the spool became shorter"} : got.error());
    }
    const auto receipt =
        target_.put({.session_id = stream.id, .offset = stream.sent, .data = BytesView(buffer).first(*got)});
    if (!receipt) return note_failure(stream, receipt.error());
    if (receipt->size <= stream.sent) {
      return note_failure(stream, {ErrorCode::kUnavailable, "the hub took a part of a recording without a receipt"});
    }
    if (stream.failures > 0) log::info("streaming a session's recording goes on", {{"session", stream.id}});
    stream.failures = 0;
    stream.sent = receipt->size;
  }
}

void LiveStreams::note_failure(Stream& stream, const Error& error) {
  const SteadyTime now = clock_.steady();
  if (stream.failures++ == 0) {
    stream.failing_since = now;
    log::warn("streaming a session's recording was interrupted; it goes on at this node and is uploaded later",
              {{"session", stream.id}, {"error", error}});
  }
  const auto pause = std::min(kFirstWait * (1 << std::min(stream.failures - 1, 8)), kLongestWait);
  stream.until = now + pause;
  if (!is_final(error.code) && now - stream.failing_since < kLostAfter) return;
  if (!is_final(error.code) && !stream.lost) return;  // it may come back
  stream.over = true;
  if (stream.lost) stream.lost(error);
}

}  // namespace mezite::recording
