#include "client/scp/local_tree.hh"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/text.hh"

namespace mezite::client {
namespace {

std::unexpected<Error> why(int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound
                         : error == EACCES || error == EPERM ? ErrorCode::kPermissionDenied
                         : error == EEXIST                   ? ErrorCode::kAlreadyExists
                                                             : ErrorCode::kIo;
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return std::unexpected(Error{code, std::move(text)});
}

TreeEntry entry_of(const struct stat& about) {
  return {.kind = S_ISREG(about.st_mode)   ? TreeEntry::Kind::kFile
                  : S_ISDIR(about.st_mode) ? TreeEntry::Kind::kDirectory
                                           : TreeEntry::Kind::kOther,
          .size = static_cast<std::uint64_t>(about.st_size),
          .permissions = about.st_mode & 0777u,
          .accessed = about.st_atim.tv_sec,
          .modified = about.st_mtim.tv_sec};
}

std::uint32_t own_umask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

Status set_times(int fd, const TreeEntry& like) {
  const timespec times[2] = {{.tv_sec = like.accessed, .tv_nsec = 0}, {.tv_sec = like.modified, .tv_nsec = 0}};
  if (::futimens(fd, times) != 0) return wrap(why(errno).error(), "setting its times");
  return {};
}

}  // namespace

Result<TreeEntry> LocalTree::stat(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return why(errno);
  return entry_of(about);
}

Result<std::vector<NamedEntry>> LocalTree::list(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), &::closedir);
  if (!open) return why(errno);
  std::vector<NamedEntry> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(open.get());
    if (entry == nullptr && errno != 0) return why(errno);
    if (entry == nullptr) return out;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") out.push_back({std::string(name), std::nullopt});
  }
}

Status LocalTree::make_directory(const std::string& path, std::uint32_t permissions) {
  if (::mkdir(path.c_str(), permissions | 0700) != 0) return why(errno);
  return {};
}

Status LocalTree::finish_directory(const std::string& path, const TreeEntry& like, Preserve preserve) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return why(errno);
  const std::uint32_t permissions = preserve == Preserve::kYes ? like.permissions : like.permissions & ~own_umask();
  if (preserve == Preserve::kYes || (like.permissions & 0700) != 0700) {
    if (::fchmod(fd.get(), permissions) != 0) return why(errno);
  }
  return preserve == Preserve::kYes ? set_times(fd.get(), like) : Status();
}

std::string LocalTree::where(const std::string& path) const { return printable(path); }

Status LocalSource::open(const std::string& path) {
  // A pipe would wait for who writes to it.
  fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) return why(errno);
  struct stat about{};
  if (::fstat(fd_.get(), &about) != 0) return why(errno);
  if (!S_ISREG(about.st_mode)) return fail(ErrorCode::kInvalidArgument, "not a regular file");
  [[maybe_unused]] int advice = ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return {};
}

Result<std::size_t> LocalSource::read(std::span<std::uint8_t> into, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(fd_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      failed_ = true;
      return why(errno);
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Status LocalSink::open() {
  if (fd_) return {};
  const int how = O_WRONLY | O_CREAT | O_CLOEXEC | (start_ == Start::kEmpty ? O_TRUNC : 0);
  fd_.reset(::open(path_.c_str(), how, permissions_));
  if (!fd_) return why(errno);
  return {};
}

Status LocalSink::write(BytesView bytes, std::uint64_t offset) {
  auto status = write_all(bytes, offset);
  failed_ = failed_ || !status;
  return status;
}

Status LocalSink::write_all(BytesView bytes, std::uint64_t offset) {
  MEZ_CHECK(open());
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t at = offset + done;
    const ssize_t wrote = seekable_
                              ? ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(at))
                              : ::write(fd_.get(), bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == ESPIPE && at == next_) {  // a pipe, /dev/stdout
      seekable_ = false;
      continue;
    }
    if (wrote < 0) return why(errno);
    done += static_cast<std::size_t>(wrote);
    next_ = at + static_cast<std::uint64_t>(wrote);
  }
  return {};
}

Status LocalSink::finish(const TreeEntry& like, Preserve preserve) {
  MEZ_CHECK(open());
  if (preserve == Preserve::kYes) {
    if (::fchmod(fd_.get(), like.permissions) != 0) return wrap(why(errno).error(), "setting its permissions");
    MEZ_CHECK(set_times(fd_.get(), like));
  }
  // What the disk could not take may be told here only.
  if (::close(fd_.release()) != 0 && errno != EINTR) return why(errno);
  return {};
}

Result<UniqueFd> make_unnamed_file() {
  const char* folder = ::getenv("TMPDIR");
  if (folder == nullptr || *folder == '\0') folder = "/tmp";
  UniqueFd fd(::open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  std::string path = std::string(folder) + "/msh-XXXXXX";
  fd.reset(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return wrap(why(errno).error(), fmt::format("making a file in {}", folder));
  ::unlink(path.c_str());
  return fd;
}

}  // namespace mezite::client
