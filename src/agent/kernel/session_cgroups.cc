#include "agent/kernel/session_cgroups.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "base/file.hh"
#include "base/text.hh"
#include "recording/header.hh"

namespace mezite::agent {
namespace {

constexpr int kMostDepth = 8;  // of groups that somebody made below a session's

// The path of this process in the v2 hierarchy.
Result<std::string> own_group() {
  MEZ_TRY(const Bytes lines, read_file("/proc/self/cgroup"));
  for (const std::string_view line : split(as_text(lines), '\n')) {
    if (line.starts_with("0::/")) return std::string(line.substr(3));
  }
  return fail(ErrorCode::kUnavailable, "there is no cgroup v2");
}

// systemd marks what it leaves to a unit (Delegate=yes); elsewhere below it nobody else may make groups.
bool is_delegated(const std::filesystem::path& group) {
  char value[2] = {};
  for (const char* name : {"trusted.delegate", "user.delegate"}) {
    if (::getxattr(group.c_str(), name, value, sizeof value) > 0 && value[0] == '1') return true;
  }
  return false;
}

Status remove_tree(const std::filesystem::path& path, int depth) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  const int error = errno;
  if (error != EBUSY || depth == 0) return fail_errno(error, "removing a cgroup");
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(path, failed)) {
    if (entry.is_directory(failed)) MEZ_CHECK(remove_tree(entry.path(), depth - 1));
  }
  if (::rmdir(path.c_str()) == 0) return {};
  return fail(ErrorCode::kFailedPrecondition, "the cgroup is in use");
}

}  // namespace

std::string cgroup_root() {
  const auto mounts = read_file("/proc/self/mountinfo");
  if (!mounts) return {};
  for (const std::string_view line : split(as_text(*mounts), '\n')) {
    const std::size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string_view::npos) continue;
    const auto fields = split(line.substr(0, dash), ' ');
    if (fields.size() > 4) return std::string(fields[4]);
  }
  return {};
}

Result<SessionCgroups> SessionCgroups::open() {
  const std::string root = cgroup_root();
  if (root.empty()) return fail(ErrorCode::kUnavailable, "there is no cgroup v2");
  // The first cgroup namespace has this fixed inode.
  struct stat space{};
  if (::stat("/proc/self/ns/cgroup", &space) != 0 || space.st_ino != 0xEFFFFFFBu) {
    return fail(ErrorCode::kUnavailable, "mezd runs in a cgroup namespace of its own (a container)");
  }
  MEZ_TRY(const std::string own, own_group());
  const std::filesystem::path group = root + (own == "/" ? "" : own);
  if (::access("/run/systemd/system", F_OK) == 0 && !is_delegated(group)) {
    return fail(ErrorCode::kUnavailable, "the unit of mezd has not Delegate=yes");
  }
  SessionCgroups groups(group / "mezite",
                        static_cast<std::uint32_t>(std::ranges::count(own, '/')) + (own == "/" ? 1 : 2));
  if (::mkdir(groups.base_.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno(errno, "making the cgroup " + groups.base_.string());
  }
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(groups.base_, failed)) {
    // One that still has processes, or that another agent of this machine uses, stays.
    if (entry.is_directory(failed)) [[maybe_unused]]
      Status left = remove(entry.path());
  }
  return groups;
}

Result<SessionCgroups::Group> SessionCgroups::make(const std::string& session_id) const {
  if (!recording::is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "not a session's id");
  Group group{.path = base_ / session_id, .folder = {}};
  if (::mkdir(group.path.c_str(), 0755) != 0) return fail_errno(errno, "making the session's cgroup");
  group.folder.reset(::open(group.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat facts{};
  if (!group.folder || ::fstat(group.folder.get(), &facts) != 0) {
    const int error = errno;
    ::rmdir(group.path.c_str());
    return fail_errno(error, "opening the session's cgroup");
  }
  group.id = facts.st_ino;  // kernfs: the inode is the cgroup's number (Linux 5.5)
  return group;
}

Status SessionCgroups::remove(const std::filesystem::path& path) { return remove_tree(path, kMostDepth); }

}  // namespace mezite::agent
