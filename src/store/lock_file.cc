#include "store/lock_file.hh"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/file.hh"
#include "base/text.hh"

namespace mezite::store {

Result<UniqueFd> take_lock_file(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, path.string());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "locking " + path.string());
    std::array<char, 32> text{};
    ssize_t size = ::pread(fd.get(), text.data(), text.size(), 0);
    std::string pid = printable(trim(std::string_view(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0)));
    return fail(ErrorCode::kFailedPrecondition,
                "another mezhub (pid {}) uses {}: stop it first, or give this one another data_dir",
                pid.empty() ? "unknown" : pid, path.parent_path().string());
  }
  std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0) return fail_errno(errno, "writing " + path.string());
  MEZ_CHECK(write_all(fd.get(), as_bytes(pid)));
  return fd;
}

}  // namespace mezite::store
