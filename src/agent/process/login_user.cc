#include "agent/process/login_user.hh"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kEntryLimitBytes = std::size_t{1} << 20;
constexpr int kMaxGroups = 65536;  // NGROUPS_MAX of Linux

}  // namespace

Result<LoginUser> find_login_user(std::string_view name) {
  std::string key(name);
  // A name with a NUL, slash or colon is in no database; it must not reach one as something else.
  if (key.empty() || key.size() > 256 || key.find_first_of(std::string_view("\0/:\n", 4)) != std::string::npos) {
    return fail(ErrorCode::kNotFound, "there is no user '{}' on this node", printable(name));
  }
  std::vector<char> buffer(4096);
  passwd entry{};
  passwd* found = nullptr;
  for (;;) {
    int error = ::getpwnam_r(key.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error == ERANGE && buffer.size() < kEntryLimitBytes) {
      buffer.resize(buffer.size() * 2);
      continue;
    }
    if (error != 0 && error != ENOENT && error != ESRCH) return fail_errno(error, "looking up user " + printable(name));
    break;
  }
  if (!found) return fail(ErrorCode::kNotFound, "there is no user '{}' on this node", printable(name));
  LoginUser user{.name = entry.pw_name,
                 .uid = entry.pw_uid,
                 .gid = entry.pw_gid,
                 .home = entry.pw_dir ? entry.pw_dir : "",
                 .shell = entry.pw_shell && *entry.pw_shell ? entry.pw_shell : "/bin/sh"};
  if (user.home.empty()) user.home = "/";
  return user;
}

Result<std::vector<gid_t>> groups_of(const LoginUser& user) {
  std::vector<gid_t> groups(32);
  for (;;) {
    int count = static_cast<int>(groups.size());
    if (::getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) >= 0) {
      groups.resize(static_cast<std::size_t>(count));
      return groups;
    }
    if (static_cast<int>(groups.size()) >= kMaxGroups) {
      return fail(ErrorCode::kResourceExhausted, "user {} is in more than {} groups", user.name, kMaxGroups);
    }
    groups.resize(groups.size() * 2);
  }
}

Status may_become(const LoginUser& user) {
  if (::geteuid() == 0 || ::geteuid() == user.uid) return {};
  return fail(ErrorCode::kPermissionDenied,
              "mezd does not run as root and can start sessions for its own user only, not for {}", user.name);
}

Status check_nologin(const LoginUser& user, const char* path) {
  if (user.uid == 0) return {};
  Result<Bytes> text = read_file(path, 4096);
  if (!text && text.error().code == ErrorCode::kNotFound) return {};
  std::string_view reason = text ? trim(as_text(*text)) : std::string_view{};
  return fail(ErrorCode::kFailedPrecondition, "{}",
              reason.empty() ? "this node takes no logins now (/etc/nologin)" : reason);
}

}  // namespace mezite::agent
