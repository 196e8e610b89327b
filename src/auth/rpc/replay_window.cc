#include "auth/rpc/replay_window.hh"

namespace mezite::auth::rpc {

Status ReplayWindow::take(std::string_view node_id, std::string_view nonce, SystemTime made) {
  SystemTime now = clock_.now();
  auto off = made > now ? made - now : now - made;
  if (off > kClockSkew) {
    return fail(ErrorCode::kUnauthenticated,
                "the agent's clock is {} {} the hub's, and {} is the most; set both by NTP",
                format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(off)),
                made > now ? "ahead of" : "behind", format_duration(kClockSkew));
  }
  if (made < began_) return fail(ErrorCode::kUnavailable, "the hub has just started; make the call again");
  const std::lock_guard lock(mutex_);
  Seen& seen = nodes_.try_emplace(std::string(node_id)).first->second;
  while (!seen.by_time.empty() && seen.by_time.front().first < now) {
    seen.nonces.erase(seen.by_time.front().second);
    seen.by_time.pop_front();
  }
  if (seen.nonces.contains(nonce)) return fail(ErrorCode::kUnauthenticated, "this call was made already");
  if (seen.nonces.size() >= kMostPerNode) {
    return fail(ErrorCode::kResourceExhausted, "the node makes too many calls; try again in a minute");
  }
  // A call from the future stays young for longer. Kept for the longest of all, so that they leave as they came.
  seen.nonces.emplace(nonce);
  seen.by_time.emplace_back(now + 2 * kClockSkew, nonce);
  return {};
}

}  // namespace mezite::auth::rpc
