// What tests of every folder share: waiting for what another program or thread writes to files.
#pragma once

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>

#include "base/unique_fd.hh"

namespace mezite {

// Looks again with each change of a file in the folder; false when the time is over before it is so.
inline bool await_files(const std::filesystem::path& folder, const std::function<bool()>& so,
                        std::chrono::milliseconds patience = std::chrono::seconds(30)) {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  if (::inotify_add_watch(changes.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) return false;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!so()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{changes.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return false;
    char events[4096];
    if (::read(changes.get(), events, sizeof events) < 0) return false;
  }
  return true;
}

}  // namespace mezite
