#include "agent/outbox/event_log.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".jsonl";
constexpr std::size_t kMaxInMemory = 2048;
static_assert(EventLog::kMaxBatchBytes > 2 * audit::kMaxEventJsonBytes);
constexpr std::uint64_t kMaxAsideBytes = std::uint64_t{64} << 20;

std::uint64_t number_of(const fs::path& path) {
  std::string name = path.filename().native();
  if (!name.ends_with(kSuffix)) return 0;
  name.resize(name.size() - kSuffix.size());
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc{} && end == name.data() + name.size() ? number : 0;
}

Result<std::string> read_at(const fs::path& path, std::uint64_t offset, std::size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, path.string());
  std::string text(limit, '\0');
  std::size_t size = 0;
  while (size < limit) {
    ssize_t n = ::pread(fd.get(), text.data() + size, limit - size, static_cast<off_t>(offset + size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path.string());
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  text.resize(size);
  return text;
}

}  // namespace

fs::path EventLog::path_of(std::uint64_t number) const { return folder_ / fmt::format("{:012}{}", number, kSuffix); }

fs::path EventLog::kept_path_of(std::uint64_t number) const { return folder_ / fmt::format("{:012}.kept", number); }

Result<std::unique_ptr<EventLog>> EventLog::open(const fs::path& folder, std::uint64_t limit_bytes) {
  std::unique_ptr<EventLog> log(new EventLog);
  log->folder_ = folder;
  log->limit_bytes_ = limit_bytes;
  MEZ_CHECK(make_directories(folder, 0700));
  MEZ_CHECK(log->recover());
  return log;
}

Status EventLog::recover() {
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::uint64_t number = number_of(it->path());
    if (number != 0) segments_.push_back({.number = number, .size = 0});
  }
  if (error) return fail(ErrorCode::kIo, "{}: {}", folder_.string(), error.message());
  std::sort(segments_.begin(), segments_.end(), [](const Segment& a, const Segment& b) { return a.number < b.number; });
  std::deque<Segment> readable;
  for (Segment& segment : segments_) {
    next_number_ = segment.number + 1;
    Result<Bytes> read = read_file(path_of(segment.number), std::size_t{64} << 20);
    if (!read) {
      log::error("audit events that wait for the hub can't be read; the file is kept", {{"error", read.error()}});
      ::rename(path_of(segment.number).c_str(), kept_path_of(segment.number).c_str());
      continue;
    }
    const Bytes& content = *read;
    // Whole lines only: the process may have died in the middle of one.
    std::size_t whole = as_text(content).rfind('\n');
    segment.size = whole == std::string_view::npos ? 0 : whole + 1;
    if (segment.size != content.size()) {
      if (::truncate(path_of(segment.number).c_str(), static_cast<off_t>(segment.size)) != 0) {
        return fail_errno(errno, "cutting a torn event");
      }
    }
    readable.push_back(segment);
  }
  segments_ = std::move(readable);
  drop_done_segments();
  more_ = !segments_.empty();
  return {};
}

Status EventLog::open_segment() {
  if (fd_ && segments_.back().size < kSegmentBytes) return {};
  // Whoever still waits for the old segment is synced with the new one: so the old one is synced here.
  if (fd_ && ::fdatasync(fd_.get()) != 0) return fail_errno(errno, "syncing audit events");
  fd_.reset();
  UniqueFd fd(::open(path_of(next_number_).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, path_of(next_number_).string());
  MEZ_CHECK(sync_directory(folder_));
  segments_.push_back({.number = next_number_++, .size = 0});
  fd_ = std::move(fd);
  return {};
}

Status EventLog::write_lines(std::string_view lines, std::unique_lock<std::mutex>& lock) {
  if (size_locked() + lines.size() > limit_bytes_) {
    return fail(ErrorCode::kResourceExhausted, "{} holds its limit of {} bytes; check that the hub is reachable",
                folder_.string(), limit_bytes_);
  }
  MEZ_CHECK(open_segment());
  if (Status written = write_all(fd_.get(), as_bytes(lines)); !written) {
    // No half line may stay in front of what comes next.
    [[maybe_unused]] int ignored = ::ftruncate(fd_.get(), static_cast<off_t>(segments_.back().size));
    return wrap(written.error(), path_of(segments_.back().number).string());
  }
  segments_.back().size += lines.size();
  written_total_ += lines.size();
  const std::uint64_t mine = written_total_;
  while (synced_total_ < mine) {
    if (syncing_) {
      synced_changed_.wait(lock);
      continue;
    }
    syncing_ = true;
    const std::uint64_t target = written_total_;
    UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));  // the segment may be changed in the meantime
    lock.unlock();
    int result = fd ? ::fdatasync(fd.get()) : -1;
    int error = errno;
    lock.lock();
    syncing_ = false;
    if (result == 0) synced_total_ = target;
    synced_changed_.notify_all();
    if (result != 0) {
      synced_total_ = std::max(synced_total_, target);
      return fail_errno(error, "syncing audit events");
    }
  }
  return {};
}

Status EventLog::emit(std::vector<audit::Event> events) {
  std::vector<std::string> each;
  std::string lines;
  for (const audit::Event& event : events) {
    each.push_back(audit::to_canonical_json(event));
    lines += each.back();
    lines += '\n';
  }
  if (lines.empty()) return {};
  std::unique_lock lock(mutex_);
  Status status = write_lines(lines, lock);
  if (!status) {
    for (std::string& line : each) {
      if (memory_.size() < kMaxInMemory) memory_.push_back(std::move(line));
    }
  }
  more_ = true;
  wake_.notify_all();
  return status;
}

Result<EventLog::Batch> EventLog::next(std::size_t max_events) {
  fs::path path;
  std::uint64_t offset = 0, size = 0;
  Batch batch;
  {
    std::lock_guard lock(mutex_);
    drop_done_segments();
    if (segments_.empty() || sent_ >= segments_.front().size) {
      for (const std::string& line : memory_) {
        if (batch.lines.size() >= max_events || batch.bytes + line.size() > kMaxBatchBytes) break;
        batch.lines.push_back(line);
        batch.bytes += line.size();
      }
      return batch;
    }
    batch.segment = segments_.front().number;
    path = path_of(batch.segment);
    offset = sent_;
    size = segments_.front().size;
  }
  // Segments only grow, so what is read without the lock is whole up to its last line end.
  MEZ_TRY(std::string text, read_at(path, offset, kMaxBatchBytes));
  std::string_view rest = text;
  while (batch.lines.size() < max_events) {
    std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) break;
    batch.lines.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    batch.bytes += end + 1;
  }
  if (!batch.lines.empty()) return batch;
  // No event is as long as this. Up to where the next line begins it is one piece, for aside.jsonl.
  MEZ_TRY(text, read_at(path, offset, size - offset));
  if (text.empty()) return fail(ErrorCode::kCorrupt, "{} is shorter than it was", path.string());
  std::size_t end = text.find('\n');
  batch.bytes = end == std::string::npos ? size - offset : end + 1;
  batch.lines.push_back(text.substr(0, end));
  return batch;
}

void EventLog::acknowledge(const Batch& batch) {
  std::lock_guard lock(mutex_);
  if (batch.segment == 0) {
    for (std::size_t i = 0; i < batch.lines.size() && !memory_.empty(); ++i) memory_.pop_front();
    return;
  }
  if (segments_.empty() || segments_.front().number != batch.segment) return;
  sent_ += batch.bytes;
  drop_done_segments();
}

Status EventLog::set_aside(const Batch& batch, const std::vector<std::string>& lines) {
  auto write = [&]() -> Status {
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    UniqueFd fd(::open((folder_ / "aside.jsonl").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) return fail_errno(errno, "aside.jsonl");
    struct stat about{};
    if (::fstat(fd.get(), &about) != 0) return fail_errno(errno, "aside.jsonl");
    if (static_cast<std::uint64_t>(about.st_size) + text.size() > kMaxAsideBytes) {
      return fail(ErrorCode::kResourceExhausted, "aside.jsonl holds its limit of {} bytes", kMaxAsideBytes);
    }
    if (Status written = write_all(fd.get(), as_bytes(text)); !written) {
      [[maybe_unused]] int ignored = ::ftruncate(fd.get(), about.st_size);
      return wrap(written.error(), "aside.jsonl");
    }
    if (::fdatasync(fd.get()) != 0) return fail_errno(errno, "aside.jsonl");
    return sync_directory(folder_);
  };
  Status written = write();
  if (written) return {};
  std::lock_guard lock(mutex_);
  for (Segment& segment : segments_) segment.keep |= segment.number == batch.segment;
  return written;
}

std::string EventLog::give_up_oldest() {
  std::lock_guard lock(mutex_);
  if (segments_.empty()) return {};
  std::string kept = kept_path_of(segments_.front().number).string();
  segments_.front().keep = true;
  if (segments_.size() == 1) {
    if (syncing_) return {};
    fd_.reset();
  }
  pop_segment();
  return kept;
}

void EventLog::pop_segment() {
  const Segment& first = segments_.front();
  if (first.keep) {
    ::rename(path_of(first.number).c_str(), kept_path_of(first.number).c_str());
  } else {
    ::unlink(path_of(first.number).c_str());
  }
  segments_.pop_front();
  sent_ = 0;
}

void EventLog::drop_done_segments() {
  while (!segments_.empty()) {
    const Segment& first = segments_.front();
    bool writing = segments_.size() == 1 && fd_;
    // The one that is written to stays until it is of some size: making files costs more than sending a few twice.
    if (sent_ < first.size || (writing && first.size < kSegmentBytes / 4)) return;
    if (writing && syncing_) return;
    if (writing) fd_.reset();
    pop_segment();
  }
}

void EventLog::wait(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, limit, [this] { return more_ || interrupted_; });
  more_ = interrupted_ = false;
}

void EventLog::interrupt() {
  std::lock_guard lock(mutex_);
  interrupted_ = true;
  wake_.notify_all();
}

std::uint64_t EventLog::size_locked() const {
  std::uint64_t size = 0;
  for (const Segment& segment : segments_) size += segment.size;
  return size - std::min(size, sent_);
}

std::uint64_t EventLog::size_bytes() const {
  std::lock_guard lock(mutex_);
  return size_locked();
}

}  // namespace mezite::agent
