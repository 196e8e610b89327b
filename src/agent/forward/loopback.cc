#include "agent/forward/loopback.hh"

#include <netinet/in.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "net/address.hh"

namespace mezite::agent {
namespace {

constexpr int kBacklog = 128;
constexpr std::uint16_t kFirstUnprivilegedPort = 1024;
constexpr int kTriesForAFreePort = 16;

// The ids that the kernel gives to what this thread makes. Linux keeps them for each thread, and the wrappers of glibc
// are the bare system calls.
class FileIdentity {
 public:
  explicit FileIdentity(const LoginUser& user) : changed_(::geteuid() == 0 && user.uid != 0) {
    if (!changed_) return;
    ::setfsgid(user.gid);
    ::setfsuid(user.uid);
  }
  ~FileIdentity() {
    if (!changed_) return;
    ::setfsuid(0);
    ::setfsgid(0);
  }
  FileIdentity(const FileIdentity&) = delete;
  FileIdentity& operator=(const FileIdentity&) = delete;

 private:
  bool changed_;
};

// 0, or errno.
int listen_one(const LoginUser& user, int family, std::uint16_t port, std::vector<UniqueFd>& fds) {
  UniqueFd fd = socket_of(user, family);
  if (!fd) return errno;
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int bound = 0;
  if (family == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (bound != 0 || ::listen(fd.get(), kBacklog) != 0) return errno;
  fds.push_back(std::move(fd));
  return 0;
}

bool is_missing(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

int listen_both(const LoginUser& user, std::uint16_t port, LoopbackPort& made) {
  made.fds.clear();
  made.port = port;
  int error = listen_one(user, AF_INET, port, made.fds);
  if (error != 0 && !is_missing(error)) return error;
  if (!made.fds.empty()) made.port = net::local_address(made.fds[0].get()).port;
  error = listen_one(user, AF_INET6, made.port, made.fds);
  if (error != 0 && !is_missing(error)) return error;
  if (made.fds.empty()) return EADDRNOTAVAIL;
  made.port = net::local_address(made.fds[0].get()).port;
  return 0;
}

}  // namespace

UniqueFd socket_of(const LoginUser& user, int family) {
  FileIdentity identity(user);
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Result<LoopbackPort> listen_on_loopback(const LoginUser& user, std::uint16_t port) {
  if (port != 0 && port < kFirstUnprivilegedPort && user.uid != 0) {
    return fail(ErrorCode::kPermissionDenied, "ports under {} are for root; take a higher one", kFirstUnprivilegedPort);
  }
  LoopbackPort made;
  int error = 0;
  for (int i = 0; i < kTriesForAFreePort; ++i) {
    error = listen_both(user, port, made);
    if (error == 0) return made;
    // A port that the kernel chose for IPv4 may be taken for IPv6.
    if (port != 0 || error != EADDRINUSE) break;
  }
  if (error == EADDRINUSE) return fail(ErrorCode::kAlreadyExists, "port {} is in use on this node", port);
  return fail_errno(error, fmt::format("listening on port {}", port));
}

}  // namespace mezite::agent
