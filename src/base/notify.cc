#include "base/notify.hh"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>

#include "base/unique_fd.hh"

namespace mezite {

Status notify_supervisor(std::string_view state) {
  const char* path = ::secure_getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return {};
  std::string_view name = path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((name[0] != '/' && name[0] != '@') || name.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument, "NOTIFY_SOCKET is not a socket's path");
  }
  ::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "making the notification socket");
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size) <
      0) {
    return fail_errno(errno, "notifying the supervisor");
  }
  return {};
}

}  // namespace mezite
