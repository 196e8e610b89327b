// Refused calls of agents in the audit log, which a flood of them must not fill.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "auth/services.hh"

namespace mezite::auth::rpc {

// Thread-safe; the services outlive it.
class Refusals {
 public:
  explicit Refusals(Services& services) : services_(services) {}

  // node.rejected, at most once in kQuiet for each pair of claimed node and address, with how often since the last
  // time. Beyond kMostSources such pairs in kQuiet all others are told of as one. What does not say anything of the
  // caller (a hub that has just started) is not told.
  void tell(std::string_view claimed_node, std::string_view client_ip, const Error& why);

  static constexpr std::chrono::seconds kQuiet{60};
  static constexpr std::size_t kMostSources = 32;

 private:
  using Source = std::pair<std::string, std::string>;  // claimed node, address
  struct Told {
    SystemTime at;
    std::uint64_t since = 0;  // refusals that were not told of
  };
  // How many refusals an event tells of; 0: no event now.
  std::uint64_t count(Source& source);

  Services& services_;
  std::mutex mutex_;
  std::map<Source, Told> told_;
};

}  // namespace mezite::auth::rpc
