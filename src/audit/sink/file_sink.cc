#include "audit/sink/file_sink.hh"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.hh"

namespace mezite::audit {

namespace {

constexpr off_t kMaxTornBytes = 1 << 20;  // more than a line has

// Cuts what follows the last line end, so that no line is made of two.
Status cut_torn_line(int fd) {
  struct stat about{};
  if (::fstat(fd, &about) != 0) return fail_errno(errno, "the audit sink's file");
  off_t from = std::max<off_t>(0, about.st_size - kMaxTornBytes);
  std::string tail(static_cast<std::size_t>(about.st_size - from), '\0');
  if (::pread(fd, tail.data(), tail.size(), from) != static_cast<ssize_t>(tail.size())) {
    return fail_errno(errno, "the audit sink's file");
  }
  if (tail.empty() || tail.ends_with('\n')) return {};
  std::size_t end = tail.rfind('\n');
  if (end == std::string::npos && from > 0) {
    return fail(ErrorCode::kFailedPrecondition, "the audit sink's file is not one of lines: choose another");
  }
  off_t whole = from + (end == std::string::npos ? 0 : static_cast<off_t>(end) + 1);
  if (::ftruncate(fd, whole) != 0) return fail_errno(errno, "the audit sink's file");
  return {};
}

}  // namespace

Status FileSink::open() {
  // O_NONBLOCK: a FIFO without a reader must not hold up the thread; it is refused below.
  UniqueFd fd(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!fd) return fail_errno(errno, "opening " + path_.string());
  struct stat about{};
  if (::fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return fail(ErrorCode::kFailedPrecondition, "{} is not a plain file", path_.string());
  }
  MEZ_CHECK(cut_torn_line(fd.get()));
  MEZ_CHECK(sync_directory(path_.parent_path()));
  fd_ = std::move(fd);
  return {};
}

bool FileSink::is_still_there() const {
  struct stat opened{}, named{};
  return fd_ && ::fstat(fd_.get(), &opened) == 0 && ::stat(path_.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Status FileSink::deliver(std::span<const StoredEvent> events, const StopFlag&) {
  if (!is_still_there()) {
    fd_.reset();
    MEZ_CHECK(open());
  }
  std::string lines;
  for (const StoredEvent& event : events) lines += sink_json(event) + '\n';
  struct stat before{};
  if (::fstat(fd_.get(), &before) != 0) return fail_errno(errno, path_.string());
  if (Status written = write_all(fd_.get(), as_bytes(lines)); !written) {
    // A full disk: nothing of the batch may stay, or it would be there twice.
    [[maybe_unused]] int ignored = ::ftruncate(fd_.get(), before.st_size);
    fd_.reset();
    return wrap(written.error(), "writing " + path_.string());
  }
  if (::fsync(fd_.get()) != 0) {
    auto failed = fail_errno(errno, "syncing " + path_.string());
    fd_.reset();
    return failed;
  }
  return {};
}

}  // namespace mezite::audit
