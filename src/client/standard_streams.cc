#include "client/standard_streams.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace mezite::client {
namespace {

bool is_pipe_or_socket(int fd) {
  struct stat about{};
  return ::fstat(fd, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
}

}  // namespace

NonBlockingWhile::NonBlockingWhile(int fd) : fd_(fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0 || !is_pipe_or_socket(fd)) return;
  if (::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) flags_ = flags;
}
NonBlockingWhile::~NonBlockingWhile() {
  if (flags_ >= 0) ::fcntl(fd_, F_SETFL, flags_);
}

InputPump::InputPump(net::Shard& shard, int fd, OnReadable on_readable)
    : shard_(shard), fd_(fd), on_readable_(std::move(on_readable)) {}

InputPump::~InputPump() {
  *alive_ = false;
  if (watched_) shard_.unwatch(fd_);
}

Status InputPump::start() {
  const auto status = shard_.watch(fd_, net::Interest::kRead, net::Trigger::kLevel, [this](net::Ready) {
    if (wanted_) on_readable_();
  });
  watched_ = status.has_value();
  if (watched_) shard_.modify(fd_, net::Interest::kNone);  // not yet: asked for above to learn whether epoll takes it
  return {};  // what epoll does not take is always readable: a file, /dev/null
}

void InputPump::want(bool reading) {
  if (reading == wanted_) return;
  wanted_ = reading;
  if (watched_) {
    shard_.modify(fd_, reading ? net::Interest::kRead : net::Interest::kNone);
  } else if (reading) {
    schedule();
  }
}

void InputPump::schedule() {
  shard_.post([this, alive = alive_] {
    if (!*alive || !wanted_) return;
    on_readable_();
    if (*alive && wanted_) schedule();
  });
}

OutputPump::OutputPump(net::Shard& shard, int fd, OnWritten on_written)
    : shard_(shard), fd_(fd), on_written_(std::move(on_written)) {}

OutputPump::~OutputPump() {
  if (watched_) shard_.unwatch(fd_);
}

std::size_t OutputPump::write_now(BytesView bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (wrote > 0) {
      done += static_cast<std::size_t>(wrote);
    } else if (wrote < 0 && errno == EINTR) {
      continue;
    } else if (wrote < 0 && errno == EAGAIN) {
      return done;
    } else {
      broken_ = true;
      return bytes.size();
    }
  }
  return done;
}

void OutputPump::write(BytesView bytes) {
  std::size_t done = 0;
  if (broken_) {
    done = bytes.size();
  } else if (waiting_.empty()) {
    done = write_now(bytes);
  }
  if (done < bytes.size()) {
    const BytesView rest = bytes.subspan(done);
    waiting_.insert(waiting_.end(), rest.begin(), rest.end());
    if (!watched_) {
      watched_ =
          shard_.watch(fd_, net::Interest::kWrite, net::Trigger::kLevel, [this](net::Ready) { flush(); }).has_value();
    } else {
      shard_.modify(fd_, net::Interest::kWrite);
    }
  }
  if (done > 0) on_written_(done);
}

void OutputPump::flush() {
  const std::size_t done = write_now(waiting_);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  if (waiting_.empty()) shard_.modify(fd_, net::Interest::kNone);
  if (done > 0) on_written_(done);
}

}  // namespace mezite::client
