#include "agent/forward/helper_process.hh"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <vector>

#include "agent/forward/helper_message.hh"
#include "base/file.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {
namespace {

constexpr int kRequestFd = 0;
constexpr int kBacklog = 128;
constexpr std::size_t kMaxMade = 256;
constexpr mode_t kSocketMask = 0177;  // sockets for their user only, as sshd's StreamLocalBindMask
constexpr mode_t kFolderMask = 0077;

// A socket that was made here: what is at the path is removed only while it is still this one.
struct Made {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  std::string folder;  // made with it; empty: none
};

bool read_id(const char* text, std::uint32_t& id) {
  const char* end = text + std::strlen(text);
  auto [last, error] = std::from_chars(text, end, id);
  return error == std::errc{} && last == end;
}

// forward-helper HOME UID GID GROUP…: the ids are given up here and not before execve(), because the kernel then never
// lets the user trace this process: whoever could, might hand mezd descriptors of their own making.
bool become(int argc, char** argv) {
  uid_t uid = 0;
  gid_t gid = 0;
  if (!read_id(argv[3], uid) || !read_id(argv[4], gid)) return false;
  if (::geteuid() == 0) {
    std::vector<gid_t> groups(static_cast<std::size_t>(argc - 5));
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (!read_id(argv[i + 5], groups[i])) return false;
    }
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0) {
      return false;
    }
  }
  uid_t ids[3];
  if (::getresuid(&ids[0], &ids[1], &ids[2]) != 0 || ids[0] != uid || ids[1] != uid || ids[2] != uid) return false;
  if (uid != 0 && ::setresuid(static_cast<uid_t>(-1), 0, static_cast<uid_t>(-1)) == 0) return false;
  ::prctl(PR_SET_DUMPABLE, 0);
  return ::chdir(argv[2]) == 0 || ::chdir("/") == 0;
}

class Helper {
 public:
  [[noreturn]] void serve() {
    for (;;) {
      HelperRequest request;
      ssize_t n = ::recv(kRequestFd, &request, sizeof request, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      if (n != sizeof request || request.path[sizeof request.path - 1] != '\0') break;
      UniqueFd fd;
      HelperReply reply{.id = request.id};
      std::memcpy(reply.path, request.path, sizeof reply.path);
      reply.error = work(request, reply, fd);
      if (request.work == HelperWork::kRemove) continue;
      if (!answer(reply, fd)) break;
    }
    while (!made_.empty()) remove(made_.back().path);
    ::_exit(0);
  }

 private:
  int work(const HelperRequest& request, HelperReply& reply, UniqueFd& fd) {
    switch (request.work) {
      case HelperWork::kConnect: return connect_to(request.path, fd);
      case HelperWork::kListen: return listen_at(request.path, "", fd);
      case HelperWork::kListenAgent: return listen_for_agent(reply.path, fd);
      case HelperWork::kRemove: remove(request.path); return 0;
    }
    return EINVAL;
  }

  static bool address_of(std::string_view path, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.data(), path.size());
    return true;
  }

  static int connect_to(const char* path, UniqueFd& fd) {
    sockaddr_un address;
    if (!address_of(path, address)) return ENAMETOOLONG;
    // Non-blocking: a listener with a full queue gives EAGAIN, and mezd asks again.
    fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    return 0;
  }

  int listen_at(const char* path, const std::string& folder, UniqueFd& fd) {
    sockaddr_un address;
    if (!address_of(path, address)) return ENAMETOOLONG;
    if (made_.size() >= kMaxMade) return EMFILE;
    fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return errno;
    // What is there already stays, a symbolic link too: bind(2) never follows or replaces one.
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    Made made{.path = path, .folder = folder};
    struct stat info{};
    if (::lstat(path, &info) == 0) {
      made.device = info.st_dev;
      made.inode = info.st_ino;
    }
    made_.push_back(std::move(made));
    if (::listen(fd.get(), kBacklog) == 0) return 0;
    int error = errno;
    remove(path);
    return error;
  }

  // As sshd names it, for programs that look for such sockets.
  int listen_for_agent(char (&path)[kSocketPathBytes], UniqueFd& fd) {
    char folder[] = "/tmp/ssh-XXXXXXXXXX";
    ::umask(kFolderMask);
    const bool made = ::mkdtemp(folder) != nullptr;
    ::umask(kSocketMask);
    if (!made) return errno;
    std::string socket = std::string(folder) + "/agent." + std::to_string(::getpid());
    int error = listen_at(socket.c_str(), folder, fd);
    if (error != 0) {
      ::rmdir(folder);
      return error;
    }
    std::memset(path, 0, sizeof path);
    std::memcpy(path, socket.data(), std::min(socket.size(), sizeof path - 1));
    return 0;
  }

  void remove(std::string path) {
    auto made = std::ranges::find(made_, path, &Made::path);
    if (made == made_.end()) return;
    struct stat info{};
    if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) && info.st_dev == made->device &&
        info.st_ino == made->inode) {
      ::unlink(path.c_str());
    }
    if (!made->folder.empty()) ::rmdir(made->folder.c_str());
    made_.erase(made);
  }

  static bool answer(const HelperReply& reply, const UniqueFd& fd) {
    iovec part{const_cast<HelperReply*>(&reply), sizeof reply};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (reply.error == 0 && fd) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      int number = fd.get();
      std::memcpy(CMSG_DATA(header), &number, sizeof number);
    }
    ssize_t n;
    do {
      n = ::sendmsg(kRequestFd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == static_cast<ssize_t>(sizeof reply);
  }

  std::vector<Made> made_;
};

}  // namespace

void run_forward_helper(int argc, char** argv) {
  if (argc < 2 || argv[1] != kForwardHelperWord) return;
  int type = 0;
  socklen_t size = sizeof type;
  if (argc < 5 || ::getsockopt(kRequestFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    [[maybe_unused]] Status ignored =
        write_all(STDERR_FILENO, as_bytes("mezd: forward-helper is started by mezd itself, not by hand\n"));
    ::_exit(2);
  }
  if (!become(argc, argv)) ::_exit(3);
  // Its end is the end of file, which comes however mezd ends, so that nothing that it made is left.
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_IGN);
  ::umask(kSocketMask);
  Helper().serve();
}

}  // namespace mezite::agent
