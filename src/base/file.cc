#include "base/file.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/id.hh"
#include "base/unique_fd.hh"

namespace mezite {

namespace fs = std::filesystem;

Result<Bytes> read_file(const fs::path& path, std::size_t limit_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    int error = errno;
    if (error == ENOENT) return fail(ErrorCode::kNotFound, "{}: no such file", path.string());
    return fail_errno(error, path.string());
  }
  Bytes content;
  std::uint8_t chunk[16384];
  for (;;) {
    ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path.string());
    if (n == 0) return content;
    if (content.size() + static_cast<std::size_t>(n) > limit_bytes) {
      return fail(ErrorCode::kResourceExhausted, "{}: larger than {} bytes", path.string(), limit_bytes);
    }
    content.insert(content.end(), chunk, chunk + n);
  }
}

Status write_all(int fd, BytesView content) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "writing");
    content = content.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Status sync_directory(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno(errno, path.string());
  return {};
}

Status write_file(const fs::path& path, BytesView content, mode_t mode) {
  fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  fs::path temporary = folder / ("." + path.filename().string() + "." + new_uuid().substr(0, 8));
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return fail_errno(errno, path.string());
  Status written = write_all(fd.get(), content);
  if (written && (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0)) written = fail_errno(errno, "syncing");
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = fail_errno(errno, "renaming");
  if (!written) {
    ::unlink(temporary.c_str());
    return wrap(std::move(written.error()), path.string());
  }
  return sync_directory(folder);
}

Status make_directories(const fs::path& path, mode_t mode) {
  if (path.empty()) return {};
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  if (path.has_parent_path() && path.parent_path() != path) MEZ_CHECK(make_directories(path.parent_path(), mode));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail_errno(errno, path.string());
  return {};
}

}  // namespace mezite
