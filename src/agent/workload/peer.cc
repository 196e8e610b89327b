#include "agent/workload/peer.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/file.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;  // Linux 6.5
#endif

constexpr std::size_t kMaxProcFileBytes = 64 << 10;

std::unexpected<Error> refuse(std::string_view why) {
  return fail(ErrorCode::kPermissionDenied, "the calling process can't be attested: {}", why);
}

// Files of /proc have no size to go by.
Result<std::string> read_proc(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, path.string());
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < kMaxProcFileBytes) {
    ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path.string());
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return fail(ErrorCode::kCorrupt, "{} is over {} bytes", path.string(), kMaxProcFileBytes);
}

template <class Number>
bool parse(std::string_view text, Number& number) {
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} && end == text.data() + text.size();
}

// proc(5): the second field is the program's name in parentheses and may hold anything; the 22nd is the start.
Result<std::uint64_t> start_of(std::string_view stat) {
  std::size_t name_end = stat.rfind(')');
  if (name_end != std::string_view::npos && name_end + 2 < stat.size()) {
    auto fields = split(stat.substr(name_end + 2), ' ');
    std::uint64_t start = 0;
    if (fields.size() > 19 && parse(fields[19], start)) return start;
  }
  return refuse("its start can't be read");
}

// "Uid:\t<real>\t<effective>\t…" of /proc/<pid>/status.
Result<std::uint32_t> effective_of(std::string_view status, std::string_view name) {
  for (std::string_view line : split(status, '\n')) {
    if (!line.starts_with(name)) continue;
    auto fields = split(line, '\t');
    std::uint32_t id = 0;
    if (fields.size() > 2 && parse(fields[2], id)) return id;
  }
  return refuse("its user can't be read");
}

template <class Entry, class Id>
std::string name_of(Id id, int (*find)(Id, Entry*, char*, std::size_t, Entry**), char* Entry::* name) {
  std::vector<char> buffer(std::size_t{64} << 10);
  Entry entry{};
  Entry* found = nullptr;
  if (find(id, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
  return found->*name;
}

}  // namespace

Result<std::shared_ptr<const Peer>> Peer::of_socket(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail_errno(errno, "asking who connected");
  }
  if (credentials.pid <= 0) return refuse("it is in a PID namespace that this agent does not see");
  // By the socket where the kernel can: the process that connected, even if its number is another's by now.
  int raw = -1;
  size = sizeof raw;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &raw, &size) != 0) {
    if (errno != ENOPROTOOPT) return refuse("it has ended");
    raw = static_cast<int>(::syscall(SYS_pidfd_open, credentials.pid, 0));
    if (raw < 0) return refuse("it has ended");
  }
  return of_process(UniqueFd(raw), credentials.pid, credentials.uid, credentials.gid, "/proc");
}

Result<std::shared_ptr<const Peer>> Peer::of_process(UniqueFd pidfd, pid_t pid, uid_t uid, gid_t gid,
                                                     const std::filesystem::path& proc) {
  std::shared_ptr<Peer> peer(new Peer());
  peer->pidfd_ = std::move(pidfd);
  peer->pid_ = pid;
  peer->uid_ = uid;
  peer->gid_ = gid;
  peer->folder_ = proc / std::to_string(pid);
  MEZ_TRY(Looked looked, peer->look());
  peer->started_ = looked.started;
  peer->program_ = looked.program;
  if (looked.uid != uid || looked.gid != gid) return refuse("its user has changed since it connected");
  return std::shared_ptr<const Peer>(std::move(peer));
}

bool Peer::has_ended() const {
  pollfd one{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, 0) != 0;
}

Result<Peer::Looked> Peer::look() const {
  Looked out;
  MEZ_TRY(std::string stat, read_proc(folder_ / "stat"));
  MEZ_TRY(out.started, start_of(stat));
  MEZ_TRY(std::string status, read_proc(folder_ / "status"));
  MEZ_TRY(out.uid, effective_of(status, "Uid:"));
  MEZ_TRY(out.gid, effective_of(status, "Gid:"));
  if (auto cgroup = read_proc(folder_ / "cgroup")) out.unit = systemd_unit_of(*cgroup);
  struct stat program{};
  std::filesystem::path exe = folder_ / "exe";
  if (::stat(exe.c_str(), &program) == 0) {
    out.program = Program{program.st_dev, program.st_ino};
    std::error_code error;
    std::string path = std::filesystem::read_symlink(exe, error).string();
    // A name in another root (a container's) or of a file that was replaced is not this machine's program of that name.
    struct stat here{};
    if (!error && ::stat(path.c_str(), &here) == 0 && here.st_dev == program.st_dev && here.st_ino == program.st_ino) {
      out.path = std::move(path);
    }
  }
  // All of this was about the process that connected only if that is still there.
  if (has_ended()) return refuse("it has ended");
  return out;
}

Result<spiffe::Process> Peer::attest() const {
  auto looked = look();
  if (!looked)
    return looked.error().code == ErrorCode::kPermissionDenied ? std::unexpected(looked.error())
                                                               : refuse("it has ended");
  if (looked->started != started_) return refuse("its number is another process's");
  if (looked->uid != uid_ || looked->gid != gid_) return refuse("its user has changed since it connected");
  if (looked->program != program_) return refuse("it runs another program than when it connected");
  spiffe::Process out{.uid = uid_, .gid = gid_, .user = {}, .group = {}, .path = {}, .systemd_unit = {}};
  out.user = name_of<passwd>(uid_, ::getpwuid_r, &passwd::pw_name);
  out.group = name_of<group>(gid_, ::getgrgid_r, &group::gr_name);
  out.path = std::move(looked->path);
  out.systemd_unit = std::move(looked->unit);
  return out;
}

std::string systemd_unit_of(std::string_view cgroup) {
  std::string_view path;
  for (std::string_view line : split(cgroup, '\n')) {
    std::size_t first = line.find(':');
    std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view controllers = line.substr(first + 1, second - first - 1);
    // The manager's own hierarchy, where there are several; else the only one.
    if (controllers == "name=systemd") {
      path = line.substr(second + 1);
      break;
    }
    if (controllers.empty()) path = line.substr(second + 1);
  }
  if (!path.starts_with('/')) return {};
  for (std::string_view segment : split(path.substr(1), '/')) {
    if (segment.empty() || segment == "..") return {};
    if (segment.ends_with(".slice")) continue;
    // A '_' is put before names that the kernel would take for its own.
    if (segment.starts_with('_')) segment.remove_prefix(1);
    bool is_unit =
        (segment.ends_with(".service") && segment.size() > 8) || (segment.ends_with(".scope") && segment.size() > 6);
    return is_unit ? std::string(segment) : std::string();
  }
  return {};
}

}  // namespace mezite::agent
