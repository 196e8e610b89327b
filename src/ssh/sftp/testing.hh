// For tests: OpenSSH's sftp-server as a child behind two pipes, and files in memory.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "base/unique_fd.hh"
#include "ssh/sftp/client.hh"
#include "ssh/sftp/transfer.hh"

namespace mezite::ssh::sftp {

inline constexpr const char* kServerPath = "/usr/lib/openssh/sftp-server";

// Runs the server in a folder, and the client against it.
class ServerProcess {
 public:
  explicit ServerProcess(const std::filesystem::path& folder, std::vector<std::string> more = {}) {
    int to[2], from[2];
    if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    std::vector<std::string> words = {kServerPath, "-d", folder.string()};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    if (::posix_spawn(&pid_, kServerPath, &actions, nullptr, argv.data(), environ) != 0) std::abort();
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(to[0]);
    ::close(from[1]);
    in_.reset(to[1]);
    out_.reset(from[0]);
    ::fcntl(in_.get(), F_SETFL, O_NONBLOCK);
  }
  ~ServerProcess() { stop(); }

  void stop() {
    in_.reset();
    out_.reset();
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
  }

  // Moves bytes until done() or until the server has closed.
  void run(Client& client, const std::function<bool()>& done) {
    Bytes buffer(100'000);
    while (!done()) {
      pollfd waits[2] = {{out_.get(), POLLIN, 0},
                         {in_.get(), static_cast<short>(client.output_size() > 0 ? POLLOUT : 0), 0}};
      if (::poll(waits, 2, 30'000) <= 0) std::abort();
      if ((waits[1].revents & POLLOUT) != 0) {
        const BytesView bytes = client.pending_output();
        const ssize_t wrote = ::write(in_.get(), bytes.data(), bytes.size());
        if (wrote > 0) client.consume_output(static_cast<std::size_t>(wrote));
      }
      if ((waits[0].revents & (POLLIN | POLLHUP)) == 0) continue;
      const ssize_t got = ::read(out_.get(), buffer.data(), buffer.size());
      if (got <= 0) return client.end({ErrorCode::kUnavailable, "the server has gone"});
      if (tap) tap(BytesView(buffer).first(static_cast<std::size_t>(got)));
      client.feed(BytesView(buffer).first(static_cast<std::size_t>(got)));
    }
  }

  std::function<void(BytesView)> tap;  // sees what the server sends

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
};

struct MemorySource final : FileSource {
  Bytes bytes;
  Result<std::size_t> read(std::span<std::uint8_t> into, std::uint64_t offset) override {
    if (offset >= bytes.size()) return 0u;
    const std::size_t size = std::min<std::size_t>(into.size(), bytes.size() - offset);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), size, into.begin());
    return size;
  }
};

struct MemorySink final : FileSink {
  Bytes bytes;
  bool in_order = true;
  Status write(BytesView piece, std::uint64_t offset) override {
    in_order &= offset == bytes.size();
    if (bytes.size() < offset + piece.size()) bytes.resize(offset + piece.size());
    std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
};

}  // namespace mezite::ssh::sftp
