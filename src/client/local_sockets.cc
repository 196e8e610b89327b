#include "client/local_sockets.hh"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/text.hh"
#include "net/address.hh"

namespace mezite::client {
namespace {

constexpr int kBacklog = 128;

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalidArgument, "the socket path '{}' is longer than {} bytes", printable(path),
                sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<std::vector<UniqueFd>> listen_on_socket(const std::string& path) {
  MEZ_TRY(const sockaddr_un address, socket_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = ::umask(0177);
  const int bound = fd ? ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) : -1;
  const int error = errno;
  ::umask(before);
  if (bound != 0) return fail_errno(error, "listening on " + printable(path));
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno(errno, "listening on " + printable(path));
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(fd));
  return fds;
}

}  // namespace

Result<std::vector<UniqueFd>> listen_on(const ForwardPoint& point) {
  if (point.is_socket()) return listen_on_socket(point.path);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const std::string host = point.host.empty() ? "localhost" : point.host;
  addrinfo* found = nullptr;
  const int bad =
      ::getaddrinfo(host == "*" ? nullptr : host.c_str(), std::to_string(point.port).c_str(), &hints, &found);
  if (bad != 0) return fail(ErrorCode::kInvalidArgument, "listening on {}: {}", point.text(), ::gai_strerror(bad));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  std::vector<UniqueFd> fds;
  int error = EADDRNOTAVAIL;
  for (const addrinfo* entry = list.get(); entry != nullptr && fds.size() < 8; entry = entry->ai_next) {
    UniqueFd fd(::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) continue;
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (entry->ai_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(fd.get(), entry->ai_addr, entry->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
      if (errno != EADDRNOTAVAIL) error = errno;
      // One address that is taken is enough to fail: whoever has it would get half of the connections.
      if (errno == EADDRINUSE) return fail_errno(errno, "listening on " + point.text());
      continue;
    }
    fds.push_back(std::move(fd));
  }
  if (fds.empty()) return fail_errno(error, "listening on " + point.text());
  return fds;
}

Result<UniqueFd> connect_to_socket(const std::string& path) {
  MEZ_TRY(const sockaddr_un address, socket_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "connecting to " + printable(path));
  }
  return fd;
}

}  // namespace mezite::client
