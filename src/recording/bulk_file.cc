#include "recording/bulk_file.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.hh"

namespace mezite::recording {
namespace {

// Less than this is not worth waiting for the disk.
constexpr std::size_t kBulkBytes = std::size_t{256} << 10;

constexpr std::uint64_t whole_pages(std::uint64_t bytes) { return bytes / kPageBytes * kPageBytes; }

}  // namespace

BulkFile::BulkFile(UniqueFd fd, std::uint64_t size_bytes) : fd_(std::move(fd)), is_bulk_(size_bytes >= kBulkBytes) {}

Result<BulkFile> BulkFile::open(const std::filesystem::path& path, Access access) {
  const int flags = access == Access::kRead ? O_RDONLY : O_RDWR | O_CREAT | O_APPEND;
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT) return fail(ErrorCode::kNotFound, "{}: no such file", path.native());
    return fail_errno(error, fmt::format("opening {}", path.native()));
  }
  return BulkFile(std::move(fd), static_cast<std::uint64_t>(info.st_size));
}

Result<std::uint64_t> BulkFile::size() const {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) return fail_errno(errno, "reading a recording's size");
  return static_cast<std::uint64_t>(info.st_size);
}

Result<BytesView> BulkFile::read(std::uint64_t offset, std::size_t most) {
  MEZ_CHECK(make_buffer());
  const std::size_t before = direct_.set(fd_.get(), is_bulk_ && most >= kBulkBytes) ? offset % kPageBytes : 0;
  const std::uint64_t begin = offset - before;
  const std::size_t wanted = before + std::min<std::size_t>(most, kPieceBytes - offset % kPieceBytes);
  std::size_t got = 0;
  while (got < wanted) {
    const std::size_t end = direct_.on() ? whole_pages(wanted + kPageBytes - 1) : wanted;
    const ssize_t count = ::pread(fd_.get(), buffer_.get() + got, end - got, static_cast<off_t>(begin + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL && direct_.on()) {
      if (!direct_.give_up(fd_.get())) return fail_errno(EINVAL, "reading a recording");
      continue;
    }
    if (count < 0) return fail_errno(errno, "reading a recording");
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
    if (direct_.on() && got % kPageBytes != 0) {
      MEZ_TRY(const std::uint64_t size_now, size());
      if (begin + got >= size_now) break;
      direct_.set(fd_.get(), false);  // a short one in the middle: what is left of the piece has no alignment
    }
  }
  const BytesView piece(buffer_.get(), std::min(got, wanted));
  return piece.subspan(std::min(before, piece.size()));
}

Status BulkFile::append(std::uint64_t at, BytesView bytes) {
  is_bulk_ = at + bytes.size() >= kBulkBytes;
  if (at % kPageBytes == 0 && bytes.size() >= kBulkBytes && direct_.set(fd_.get(), true)) {
    MEZ_CHECK(make_buffer());
    while (direct_.on() && bytes.size() >= kPageBytes) {
      // The caller's memory has no alignment.
      const std::size_t size = whole_pages(std::min(bytes.size(), kPieceBytes));
      std::memcpy(buffer_.get(), bytes.data(), size);
      const ssize_t count = ::write(fd_.get(), buffer_.get(), size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno != EINVAL) return fail_errno(errno, "writing");
      if (count < 0) direct_.give_up(fd_.get());
      bytes = bytes.subspan(count < 0 ? 0 : static_cast<std::size_t>(count));
      if (count < 0 || static_cast<std::size_t>(count) % kPageBytes != 0) break;
    }
  }
  if (bytes.empty()) return {};
  if (direct_.set(fd_.get(), false)) return fail_errno(EINVAL, "writing");
  return write_all(fd_.get(), bytes);
}

Status BulkFile::truncate(std::uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return fail_errno(errno, "cutting a recording");
  return {};
}

Status BulkFile::sync() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno(errno, "syncing a recording");
  return {};
}

Status BulkFile::make_buffer() {
  if (!buffer_) buffer_.reset(static_cast<std::uint8_t*>(std::aligned_alloc(kPageBytes, kPieceBytes)));
  if (!buffer_) return fail(ErrorCode::kResourceExhausted, "no memory for {} bytes of a recording", kPieceBytes);
  return {};
}

}  // namespace mezite::recording
