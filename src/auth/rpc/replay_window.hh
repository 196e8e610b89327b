// The nonces of calls that were taken, for as long as a call is young enough to be taken at all.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "base/result.hh"

namespace mezite::auth::rpc {

inline constexpr std::chrono::seconds kClockSkew{60};

// Thread-safe.
class ReplayWindow {
 public:
  explicit ReplayWindow(const Clock& clock) : clock_(clock), began_(clock.now()) {}

  // Takes a call of this node that was made at `made`, once. kUnauthenticated: too far from the hub's clock, or seen
  // before; kUnavailable: made before this hub began, which can't know whether another one has seen it;
  // kResourceExhausted: the node has made kMostPerNode calls within the window.
  Status take(std::string_view node_id, std::string_view nonce, SystemTime made);

  static constexpr std::size_t kMostPerNode = 20'000;

 private:
  struct Seen {
    std::set<std::string, std::less<>> nonces;
    std::deque<std::pair<SystemTime, std::string>> by_time;  // as they came; until when each is kept
  };
  const Clock& clock_;
  const SystemTime began_;
  std::mutex mutex_;
  std::map<std::string, Seen, std::less<>> nodes_;
};

}  // namespace mezite::auth::rpc
