// For the tests of this folder: scratch folders, commands, a throw-away system user.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "agent/session/events.hh"
#include "base/file.hh"
#include "base/id.hh"

namespace mezite::agent {

class ScratchFolder {
 public:
  ScratchFolder() : path_(std::filesystem::temp_directory_path() / ("mezt-" + new_uuid().substr(0, 13))) {
    EXPECT_TRUE(make_directories(path_, 0755));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  std::string str() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

struct Ran {
  int exit_code = -1;  // 128 + n for a signal
  std::string out;
  std::string err;
};

inline std::string slurp(const std::filesystem::path& path) {
  Result<Bytes> content = read_file(path, std::size_t{1} << 30);
  return content ? to_text(*content) : "";
}

inline std::string shell_quote(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// By /bin/sh, which blocks no signal of ours. stdin: a file.
inline Ran run(const std::string& command, const std::string& stdin_file = "/dev/null") {
  ScratchFolder folder;
  std::string line = "( " + command + " ) <" + stdin_file + " >" + folder.str() + "/out 2>" + folder.str() + "/err";
  int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(folder / "out"),
          slurp(folder / "err")};
}

// A system user that is there while this lives. valid() is false when we are not root.
class ScratchUser {
 public:
  ScratchUser() {
    if (::geteuid() != 0) return;
    name_ = "mezt" + std::to_string(::getpid());
    home_ = "/var/tmp/" + name_;
    // Test programs run side by side, and /etc/passwd has one lock.
    std::string add = "useradd -r -m -d " + home_ + " -s /bin/bash " + name_;
    std::string loop = "for i in 1 2 3 4 5 6 7 8 9 10; do " + add + " && exit 0; sleep 0.5; done; exit 1";
    Ran added = run(loop);
    EXPECT_EQ(added.exit_code, 0) << added.err;
    if (added.exit_code != 0) name_.clear();
  }
  ~ScratchUser() {
    if (valid()) run("for i in 1 2 3 4 5 6 7 8 9 10; do userdel -r " + name_ + " && exit 0; sleep 0.5; done");
  }
  bool valid() const { return !name_.empty(); }
  const std::string& name() const { return name_; }
  const std::string& home() const { return home_; }

 private:
  std::string name_;
  std::string home_;
};

// Keeps events in memory, and lets tests wait for one.
class EventBox final : public EventSink {
 public:
  Status emit(std::vector<audit::Event> events) override {
    std::lock_guard lock(mutex_);
    if (broken) return fail(ErrorCode::kIo, "disk full");
    for (audit::Event& event : events) events_.push_back(std::move(event));
    arrived_.notify_all();
    return {};
  }
  // The n-th (from 0) event of the type.
  audit::Event wait(std::string_view type, std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    audit::Event result;
    bool found = arrived_.wait_for(lock, std::chrono::seconds(20), [&] {
      std::size_t seen = 0;
      for (const audit::Event& event : events_) {
        if (event.event_type == type && seen++ == index) {
          result = event;
          return true;
        }
      }
      return false;
    });
    EXPECT_TRUE(found) << "no event " << type;
    return result;
  }
  std::size_t count(std::string_view type) {
    std::lock_guard lock(mutex_);
    std::size_t seen = 0;
    for (const audit::Event& event : events_) seen += event.event_type == type;
    return seen;
  }

  std::atomic<bool> broken{false};

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<audit::Event> events_;
};

}  // namespace mezite::agent
