#include "agent/forward/user_helper.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/process/spawn.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/connect.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxOpen = 256;
constexpr int kMaxTries = 50;  // of a listener whose queue is full
constexpr std::chrono::milliseconds kRetry{20};
constexpr std::chrono::seconds kEndGrace{5};  // it may hang in the user's own file system

std::string_view doing(HelperWork work) {
  switch (work) {
    case HelperWork::kConnect: return "connecting to";
    case HelperWork::kListen: return "listening on";
    case HelperWork::kListenAgent: return "making a socket for agent forwarding";
    case HelperWork::kRemove: break;
  }
  return "removing";
}

Result<pid_t> start_helper(const LoginUser& user, int theirs) {
  UniqueFd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nowhere) return fail_errno(errno, "opening /dev/null");
  // Still as who we are: it becomes the user by itself (helper_process.cc says why).
  SpawnRequest request;
  request.user = user;
  std::vector<gid_t> groups;
  if (::geteuid() == 0) {
    MEZ_TRY(groups, groups_of(user));
    request.user = {.name = "root", .uid = 0, .gid = 0, .home = "/", .shell = "/bin/sh"};
    request.groups.emplace();
  }
  request.file = "/proc/self/exe";
  request.arguments = {"mezd", std::string(kForwardHelperWord), user.home, std::to_string(user.uid),
                       std::to_string(user.gid)};
  for (gid_t group : groups) request.arguments.push_back(std::to_string(group));
  request.environment = {"PATH=/usr/bin:/bin"};
  request.stdin_fd = theirs;
  request.stdout_fd = request.stderr_fd = nowhere.get();
  MEZ_TRY(Spawned spawned, spawn(request));
  return spawned.child;
}

}  // namespace

// Reaps the child, and ends it when it does not end by itself once its socket is closed.
class UserHelper::Reaper : public std::enable_shared_from_this<Reaper> {
 public:
  Reaper(net::Shard& shard, pid_t child) : shard_(shard), child_(child) {}
  Status watch() {
    return shard_.on_child_exit(child_, [self = shared_from_this()](int) { self->child_ = -1; });
  }
  void end_soon() {
    if (child_ <= 0) return;
    shard_.after(kEndGrace, [self = shared_from_this()] {
      if (self->child_ > 0) ::kill(self->child_, SIGKILL);
    });
  }

 private:
  net::Shard& shard_;
  pid_t child_;
};

UserHelper::~UserHelper() { close(); }

void UserHelper::ask(HelperWork work, const std::string& path, Then then) {
  Question question{.request = {.id = next_id_++, .work = work}, .then = std::move(then)};
  Error refused;
  if (state_ == State::kClosed) return;
  if (path.size() >= kSocketPathBytes || path.find('\0') != std::string::npos) {
    refused = {ErrorCode::kInvalidArgument,
               fmt::format("a socket's path has at most {} bytes and no NUL", kSocketPathBytes - 1)};
  } else if (open_.size() >= kMaxOpen) {
    refused = {ErrorCode::kResourceExhausted, "too many sockets are being opened at once"};
  } else {
    std::memcpy(question.request.path, path.data(), path.size());
    if (state_ == State::kRunning) return send(std::move(question));
    open_.emplace(question.request.id, std::move(question));
    if (state_ == State::kIdle) start();
    return;
  }
  refuse(std::move(question), std::move(refused));
}

void UserHelper::start() {
  state_ = State::kStarting;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return lose(fail_errno(errno, "starting the forwarding helper").error());
  }
  auto ours = std::make_shared<UniqueFd>(ends[0]);
  auto theirs = std::make_shared<UniqueFd>(ends[1]);
  ::fcntl(ours->get(), F_SETFL, O_NONBLOCK);
  auto work = [user = user_, theirs] {
    Result<pid_t> child = start_helper(user, theirs->get());
    theirs->reset();
    return child;
  };
  auto then = [weak = weak_from_this(), ours, &shard = shard_](Result<pid_t> child) {
    std::shared_ptr<Reaper> process;
    if (child) {
      process = std::make_shared<Reaper>(shard, *child);
      if (Status watched = process->watch(); !watched) log::error("forwarding helper", {{"error", watched.error()}});
    }
    auto self = weak.lock();
    if (!self || self->state_ != State::kStarting) {
      ours->reset();
      if (process) process->end_soon();
    } else if (process) {
      self->started(std::move(process), std::move(*ours));
    } else {
      self->lose(child.error());
    }
  };
  if (!workers_.submit(shard_, std::move(work), std::move(then))) {
    lose({ErrorCode::kResourceExhausted, "too busy to start the forwarding helper; try again"});
  }
}

void UserHelper::started(std::shared_ptr<Reaper> process, UniqueFd ours) {
  process_ = std::move(process);
  socket_ = std::move(ours);
  Status watched =
      shard_.watch(socket_.get(), net::Interest::kRead, net::Trigger::kLevel, [this](net::Ready) { on_readable(); });
  if (!watched) return lose(watched.error());
  state_ = State::kRunning;
  std::map<std::uint32_t, Question> waiting = std::exchange(open_, {});
  for (auto& [id, question] : waiting) send(std::move(question));
}

void UserHelper::send(Question question) {
  ssize_t n = ::send(socket_.get(), &question.request, sizeof question.request, MSG_NOSIGNAL);
  int error = errno;
  if (n == static_cast<ssize_t>(sizeof question.request)) {
    std::uint32_t id = question.request.id;
    open_.insert_or_assign(id, std::move(question));
    return;
  }
  // Its queue is full, or it has gone; in the latter case the end of file ends the others too.
  refuse(std::move(question), fail_errno(error, "asking the forwarding helper").error());
}

void UserHelper::refuse(Question question, Error why) {
  shard_.post([then = std::move(question.then), why = std::move(why)]() mutable { then(std::unexpected(why)); });
}

void UserHelper::remove(const std::string& path) {
  if (state_ != State::kRunning || path.size() >= kSocketPathBytes) return;
  HelperRequest request{.id = 0, .work = HelperWork::kRemove};
  std::memcpy(request.path, path.data(), path.size());
  // One that is lost is made good at the helper's end.
  [[maybe_unused]] ssize_t ignored = ::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL);
}

void UserHelper::on_readable() {
  auto self = shared_from_this();
  for (;;) {
    if (state_ != State::kRunning) return;
    HelperReply reply;
    iovec part{&reply, sizeof reply};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    UniqueFd fd;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); n > 0 && header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header), sizeof number);
      fd = UniqueFd(number);
    }
    if (n != static_cast<ssize_t>(sizeof reply) || reply.path[sizeof reply.path - 1] != '\0') {
      return lose({ErrorCode::kUnavailable, "the forwarding helper has ended"});
    }
    take(reply, std::move(fd));
  }
}

void UserHelper::take(const HelperReply& reply, UniqueFd fd) {
  auto entry = open_.find(reply.id);
  if (entry == open_.end()) return;
  Question question = std::move(entry->second);
  open_.erase(entry);
  if (reply.error == 0 && fd && net::prepare_socket(fd.get())) {
    return question.then(Made{.fd = std::move(fd), .path = reply.path});
  }
  if (reply.error == EAGAIN && question.request.work == HelperWork::kConnect && ++question.tries < kMaxTries) {
    auto again = [weak = weak_from_this(), question = std::move(question)]() mutable {
      auto self = weak.lock();
      if (self && self->state_ == State::kRunning) self->send(std::move(question));
    };
    shard_.after(kRetry, std::move(again));
    return;
  }
  std::string what = fmt::format("{} {}", doing(question.request.work), printable(question.request.path));
  question.then(fail_errno(reply.error == 0 ? EBADF : reply.error, trim(what)));
}

// The process has gone: what was asked fails, the next question starts another one.
void UserHelper::lose(const Error& why) {
  if (socket_) shard_.unwatch(socket_.get());
  socket_.reset();
  if (state_ != State::kClosed) state_ = State::kIdle;
  if (process_) std::exchange(process_, nullptr)->end_soon();
  for (auto& [id, question] : std::exchange(open_, {})) refuse(std::move(question), why);
}

void UserHelper::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  if (socket_) shard_.unwatch(socket_.get());
  socket_.reset();
  if (process_) std::exchange(process_, nullptr)->end_soon();
  open_.clear();
}

}  // namespace mezite::agent
