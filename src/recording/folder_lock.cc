#include "recording/folder_lock.hh"

#include <fcntl.h>

#include <cerrno>

namespace mezite::recording {

Result<UniqueFd> lock_folder(const std::filesystem::path& folder) {
  const auto path = folder / ".lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, fmt::format("making {}", path.native()));
  // A record lock belongs to this process alone: children that outlive it (users' shells) do not keep it, as they would
  // keep one of flock(2).
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_SETLK, &lock) != 0) {
    if (errno == EACCES || errno == EAGAIN) {
      return fail(ErrorCode::kFailedPrecondition, "{} is in use by another process; stop it first", folder.native());
    }
    return fail_errno(errno, fmt::format("locking {}", path.native()));
  }
  return fd;
}

}  // namespace mezite::recording
