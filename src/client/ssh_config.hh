// The ssh_config block with which plain `ssh node.cluster` goes through the hub.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hh"
#include "client/profile.hh"

namespace mezite::client {

struct SshConfigPaths {
  std::filesystem::path key;
  std::filesystem::path certificate;
  std::filesystem::path known_hosts;
};

// Host *.cluster with ProxyJump over the hub. Names with characters that mean something in ssh_config(5) are refused:
// they come from the hub.
Result<std::string> make_ssh_config(const Profile& profile, const SshConfigPaths& paths);

}  // namespace mezite::client
